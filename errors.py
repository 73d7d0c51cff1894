"""Every error that rnnx raises on purpose.

    RnnxError
    ├── MissingExtraError   (ImportError)   an optional dependency is not installed
    ├── SourceError         (ValueError)    a model source cannot be resolved or built
    ├── CheckpointError     (ValueError)    a checkpoint cannot be read, or does not fit the model
    ├── SignatureError      (ValueError)    a declaration such as ``x: float32[batch, time, 40]`` is wrong
    ├── ModelFileError      (ValueError)    an ONNX file cannot be read, or may not be written there
    ├── CaptureError        (RuntimeError)  the model cannot be captured as one dynamic graph
    ├── LoweringError       (RuntimeError)  a captured operator has no ONNX form here
    ├── StreamingError      (RuntimeError)  the model needs the whole of time, so it has no streaming form
    ├── ParityError         (RuntimeError)  a variant does not give its source's answers
    ├── BudgetError         (RuntimeError)  a precision costs more accuracy than was allowed, or that cannot be told
    ├── BundleError         (ValueError)    a bundle is not what its manifest says
    │   ├── BundleNotFoundError   (FileNotFoundError)
    │   ├── BundleExistsError     (FileExistsError)
    │   ├── ManifestError         the manifest cannot be parsed or breaks its schema
    │   ├── NewerSchemaError      the manifest was written by a newer rnnx
    │   ├── MissingFileError      (FileNotFoundError) a file that the manifest lists is not there
    │   ├── AlteredFileError      a file's size or SHA-256 is not the manifest's
    │   └── UnsafePathError       the manifest names a file outside of the bundle
    ├── ProviderError       (RuntimeError)  an execution provider cannot really be used
    ├── VariantError        (LookupError)   the bundle has no such precision or mode
    ├── InputError          (ValueError)    names, values or lengths of a run's inputs are wrong
    │   ├── DtypeError      (TypeError)     an input has another dtype than declared
    │   └── ShapeError      an input has another rank or size than declared
    ├── StateError          (ValueError)    a stream's state belongs to another bundle, or does not fit
    └── SessionError        (RuntimeError)  a session is closed, or ONNX Runtime failed while it ran

Each leaf is also its natural builtin, so ``except ValueError`` works for callers that do not import rnnx.
A message says what was wrong, what was found, what is allowed and what to do.
"""

from __future__ import annotations


class RnnxError(Exception):
    """Base of every error that rnnx raises on purpose."""


class MissingExtraError(RnnxError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class SourceError(RnnxError, ValueError):
    """A model source (``file.py:factory``) cannot be resolved or built."""


class CheckpointError(RnnxError, ValueError):
    """A checkpoint cannot be read, or does not fit the model."""


class SignatureError(RnnxError, ValueError):
    """A declaration of inputs, lengths, states or outputs is wrong."""


class ModelFileError(RnnxError, ValueError):
    """An ONNX file cannot be read, or may not be written there."""


class CaptureError(RnnxError, RuntimeError):
    """The model cannot be captured as one graph that is dynamic in its declared axes."""


class LoweringError(RnnxError, RuntimeError):
    """A captured operator has no ONNX form here."""


class StreamingError(RnnxError, RuntimeError):
    """The model needs the whole of time, so it has no streaming form."""


class ParityError(RnnxError, RuntimeError):
    """A variant does not give its source's answers, so no bundle was written."""


class BudgetError(RnnxError, RuntimeError):
    """A lower precision costs more accuracy than was allowed, or what it costs cannot be measured."""


class BundleError(RnnxError, ValueError):
    """A bundle is not what its manifest says."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """There is no bundle at this path."""


class BundleExistsError(BundleError, FileExistsError):
    """Something already stands where a bundle was to be written."""


class ManifestError(BundleError):
    """The manifest cannot be parsed, or breaks its schema."""


class NewerSchemaError(BundleError):
    """The manifest was written by a newer rnnx than this one."""


class MissingFileError(BundleError, FileNotFoundError):
    """A file that the manifest lists is not in the bundle."""


class AlteredFileError(BundleError):
    """A file's size or SHA-256 is not what the manifest says."""


class UnsafePathError(BundleError):
    """The manifest names a file outside of its own folder."""


class ProviderError(RnnxError, RuntimeError):
    """An execution provider was asked for that cannot really be used here."""


class VariantError(RnnxError, LookupError):
    """The bundle has no variant of the precision and mode asked for."""


class InputError(RnnxError, ValueError):
    """The inputs of a run have wrong names, values or lengths."""


class DtypeError(InputError, TypeError):
    """An input has another dtype than the signature declares."""


class ShapeError(InputError):
    """An input has another rank or size than the signature declares."""


class StateError(RnnxError, ValueError):
    """A stream's state belongs to another bundle, or does not fit."""


class SessionError(RnnxError, RuntimeError):
    """A session is closed already, or ONNX Runtime failed while it ran."""

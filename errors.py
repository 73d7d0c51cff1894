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
    ├── ZooError            (LookupError)   the zoo has no such system, or it cannot be scored
    ├── ProviderError       (RuntimeError)  an execution provider cannot really be used
    ├── VariantError        (LookupError)   the bundle has no such precision or mode
    ├── TuningError         (LookupError)   the bundle was not tuned for this machine or this use
    ├── InputError          (ValueError)    names, values or lengths of a run's inputs are wrong
    │   ├── DtypeError      (TypeError)     an input has another dtype than declared
    │   └── ShapeError      an input has another rank or size than declared
    ├── TaskError           (ValueError)    a bundle has no task, its description is wrong, or it is for something else
    ├── StateError          (ValueError)    a stream's state belongs to another bundle, or does not fit
    ├── DeployError         (ValueError)    a bundle cannot be expressed for another server, or its files are wrong
    │   └── DeployExistsError     (FileExistsError)
    ├── RequestError        (ValueError)    a request to a server is not of the protocol's form
    │   ├── RequestTooLargeError    it is larger, longer, deeper or of more parts than is allowed
    │   ├── MediaError              its body is encoded in a way that is not known here
    │   └── FeatureError  (NotImplementedError) it asks for a part of the protocol that is not offered
    ├── ModelNotFoundError  (LookupError)   no model of this name or version is served
    ├── ModelUnavailableError (RuntimeError)  a model is known and cannot answer now, or the server is going down
    ├── TokenError          (ValueError)    a token for a stream's resumption is not this server's, altered or too old
    ├── ServerError         (RuntimeError)  a server cannot be started with what it was given
    ├── QueueFullError      (RuntimeError)  an engine has as many requests waiting as it may have; try again later
    ├── DeadlineError       (TimeoutError)  a request was not begun within its time
    ├── StreamTableError    (LookupError)   a stream of a table cannot be begun or gone on with
    │   ├── StreamNotFoundError   it was never begun, has ended, or was idle for too long
    │   ├── StreamExistsError     it was begun already
    │   ├── StreamBusyError       another request of the same stream is being answered
    │   └── TooManyStreamsError   the table holds as many streams as it may
    ├── MissingDataError    (FileNotFoundError)  a file of data is not here; the message says how to get it
    ├── AlteredDataError    (ValueError)    a file of data is not the one that was asked for
    ├── TrainingError       (RuntimeError)  a training went astray, or cannot go on
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


class ZooError(RnnxError, LookupError):
    """The zoo has no such system, its weights are missing, or there is nothing to score it on."""


class ProviderError(RnnxError, RuntimeError):
    """An execution provider was asked for that cannot really be used here."""


class VariantError(RnnxError, LookupError):
    """The bundle has no variant of the precision and mode asked for."""


class TuningError(RnnxError, LookupError):
    """The bundle was not tuned for this machine or this use, or for several that fit alike."""


class InputError(RnnxError, ValueError):
    """The inputs of a run have wrong names, values or lengths."""


class DtypeError(InputError, TypeError):
    """An input has another dtype than the signature declares."""


class ShapeError(InputError):
    """An input has another rank or size than the signature declares."""


class TaskError(RnnxError, ValueError):
    """A bundle has no task, the task's description is wrong, or the task is for something else than was asked."""


class StateError(RnnxError, ValueError):
    """A stream's state belongs to another bundle, or does not fit."""


class DeployError(RnnxError, ValueError):
    """A bundle cannot be expressed in the form of another server, or files in that form cannot be read."""


class DeployExistsError(DeployError, FileExistsError):
    """Something already stands where files for another server were to be written."""


class SessionError(RnnxError, RuntimeError):
    """A session is closed already, or ONNX Runtime failed while it ran."""


class RequestError(RnnxError, ValueError):
    """A request to a server is not of the form that the protocol gives it."""


class RequestTooLargeError(RequestError):
    """A request is larger, longer, deeper or of more parts than the server allows."""


class MediaError(RequestError):
    """A request's body is encoded in a way that is not known here."""


class FeatureError(RequestError, NotImplementedError):
    """A request asks for a part of the protocol that is not offered here."""


class ModelNotFoundError(RnnxError, LookupError):
    """No model of this name or version is served here."""


class ModelUnavailableError(RnnxError, RuntimeError):
    """A model is known and cannot answer now: it is not loaded, failed its proof, or the server is going down."""


class TokenError(RnnxError, ValueError):
    """A token for a stream's resumption is not of this server's key, was altered, is too old or too large."""


class ServerError(RnnxError, RuntimeError):
    """A server cannot be started with the addresses, keys or bundles that it was given."""


class QueueFullError(RnnxError, RuntimeError):
    """An engine has as many requests waiting as it may have; nothing was begun, so trying again later is safe."""


class DeadlineError(RnnxError, TimeoutError):
    """A request was not begun within the time that its caller gave it."""


class StreamTableError(RnnxError, LookupError):
    """A stream of a table cannot be begun, or cannot be gone on with."""


class StreamNotFoundError(StreamTableError):
    """The stream was never begun, has ended, or was idle for too long."""


class StreamExistsError(StreamTableError):
    """The stream was begun already and is still open."""


class StreamBusyError(StreamTableError):
    """Another request of the same stream is being answered; a stream has an order."""


class TooManyStreamsError(StreamTableError):
    """The table holds as many streams as it may; none was begun."""


class MissingDataError(RnnxError, FileNotFoundError):
    """A file of data is neither in the folder that was given nor installed; the message names the commands for it."""


class AlteredDataError(RnnxError, ValueError):
    """A file of data was found and its SHA-256 is not the one that was asked for."""


class TrainingError(RnnxError, RuntimeError):
    """A training went astray (its loss, gradient or score is not finite), or it cannot go on."""

"""The frames that the voice is learned in: how they are made of sound, and how sound is made of them."""

from __future__ import annotations

from ...runtime.tasks.description import AudioWrite, Mel

SAMPLE_RATE = 8000
#: Samples of a frame's window, and from one frame to the next.
WINDOW, HOP = 400, 100
FFT_SIZE = 512
MELS = 64
#: Smallest energy of a band.
FLOOR = 1e-4

#: What the runtime makes sound by. A frame ends at ``t * hop``, as :class:`rnnx.models.features.LogMel` has it.
WRITE = AudioWrite(
    output="mel",
    sample_rate=SAMPLE_RATE,
    mel=Mel(fft_size=FFT_SIZE, hop=HOP, mels=MELS, window=WINDOW, lead=WINDOW - 1),
    lengths="frames",
)

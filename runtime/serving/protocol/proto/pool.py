"""The descriptor pool of the protocol's messages.

protobuf keeps one default pool in a process and refuses a second definition of a name in it. Every library that speaks
this protocol defines ``inference.ModelInferRequest`` there, and no two definitions are equal to the byte.
"""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()

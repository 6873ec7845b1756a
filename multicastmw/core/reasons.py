"""What the error of a Close means, for people."""

from multicastmw.wire.cops import UNUSED, Code, Unable

REASONS: dict[tuple[int, int], str] = {
    (Code.BAD_FORMAT, 0): "bad format",
    (Code.UNABLE, Unable.CYCLE): "this link would close a cycle",
    (Code.UNABLE, Unable.DUPLICATE_LINK): "there is another link with the same node",
    (Code.UNABLE, Unable.SELF): "it has the same name",
    (Code.UNABLE, Unable.TOO_MANY): "too many",
    (Code.CLIENT_TYPE, 0): "another client type",
    (Code.OBJECT_MISSING, 0): "an object is missing",
    (Code.SILENT, 0): "silence",
    (Code.SHUTTING_DOWN, 0): "it is shutting down",
    (Code.SHUTTING_DOWN, UNUSED): "it has no use for the link",
    (Code.AUTHENTICATION, 0): "our certificate is not for the node that it takes us for",
    (Code.TLS_REQUIRED, 0): "TLS is required",
}

// The running router answers the socket itself.
import Dataplane

extension Runtime: ControlBackend {}

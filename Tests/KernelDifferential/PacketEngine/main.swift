// The slow path, and before it the flow cache's probe and rewrite functions, as a process that frames are piped through: no DPDK, no root.
import DialogueEngine

try serve { DirectFront($0) }

// The slow-path core with two real workers before it, as a process that frames are piped through: DPDK's ring ports, no root.
import DPDK
import DialogueEngine

_ = try EAL.start(.small(memoryMB: 128, workers: 1))
let wires = try Wires()
try serve { WorkerFront($0, wires) }

// What NAT is told of the ports' RSS, once they run.
import Configuration
import Conntrack
import DPDK
import Logging
import SlowPath
import Wire

extension Assembly {
    /// Asks each device how it spreads packets. Call it when the ports run and no worker does yet; with one worker nothing is asked.
    func learnSpreads(_ logger: Logger) {
        guard path.pointee.settings.portSteering != nil else { return }
        for (place, port) in ports.enumerated() {
            do {
                let hashing = try port.device.receiveHashing()
                guard let spread = ReceiveSpread(hashing) else {
                    logger.notice("port \(port.configuration.name): its RSS key or redirection table has a size that NAT cannot choose ports by")
                    continue
                }
                path.pointee.setSpread(spread, port: PortIndex(place))
            } catch { logger.notice("\(error); NAT cannot choose ports by worker there") }
        }
    }
}

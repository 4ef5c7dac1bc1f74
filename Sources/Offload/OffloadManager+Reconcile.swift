// Rules that the NIC lost: they exist for the driver and do nothing.
//
// Invariant: a rule is suspected only on evidence, packets that software forwarded although the rule should have taken
// them, found in two polls in a row in which the rule counted nothing. It is made anew once; the second loss ends the
// flow's stay. A packet that FIN, a fragment or a low TTL sent to software is no evidence: it does not hit the flow
// cache either.
import Wire

extension OffloadManager {
    private static let pollsToLoss = 2

    /// Updates the suspicion of one direction after a poll; whether its rule is lost.
    func isLost(_ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, hits: UInt64) -> Bool {
        let wasHit = records[index][keyPath: side].softwareHit
        records[index][keyPath: side].softwareHit = false
        if hits > 0 {
            records[index][keyPath: side].suspicion = 0
        } else if wasHit {
            records[index][keyPath: side].suspicion += 1
        }
        return records[index][keyPath: side].suspicion >= OffloadManager.pollsToLoss
    }

    /// Makes a lost flow's rules anew, or gives it up if that was done before.
    func repair(_ index: Int, now: Timestamp) {
        records[index].original.suspicion = 0
        records[index].reply.suspicion = 0
        guard !records[index].wasRepaired else {
            return tearDown(index, refusal: .lost, retryAfter: now &+ 6 * OffloadManager.retryDelay, now: now)
        }
        records[index].wasRepaired = true
        records[index].refusal = .lost
        guard removeRules(index, now: now) else { return }
        settle(index, now: now)
        guard createBoth(index, now: now) else {
            return tearDown(index, refusal: records[index].refusal, retryAfter: records[index].retryAfter, now: now)
        }
        account.repaired += 1
    }
}

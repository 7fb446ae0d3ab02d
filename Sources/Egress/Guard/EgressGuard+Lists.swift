import Synchronization

/// The operator's lists, as a guard follows them.
extension EgressGuard {
    /// Which of the lists' versions is in force, and when one that could not be put in force is tried again.
    struct ListsInForce {
        var version: Int
        var mayRetryAt: UInt64 = 0
    }

    /// Seconds until lists that the kernel refused are tried again.
    private static let listsRetry: UInt64 = 10

    /// Whether what is in force is not what the operator's files say now: they cannot be used, or not here.
    package func isBehind(_ lists: OperatorLists) -> Bool {
        lists.problem != nil || listsInForce.withLock { $0.version } != lists.current.version
    }

    /// Puts the lists in force where others are. Cheap where they are in force already. An error is only reported: who
    /// follows the lists looks again soon.
    package func follow(_ lists: OperatorLists) {
        let (rules, version) = lists.current, now = settings.now()
        let isDue = listsInForce.withLock { inForce in
            guard inForce.version != version, now >= inForce.mayRetryAt else { return false }
            inForce.mayRetryAt = now + Self.listsRetry
            return true
        }
        guard isDue else { return }
        do throws(EgressError) {
            try replaceOperatorRules(rules.rules)
            listsInForce.withLock { $0 = ListsInForce(version: version) }
        } catch { audit.listsNotInForce(error) }
    }
}

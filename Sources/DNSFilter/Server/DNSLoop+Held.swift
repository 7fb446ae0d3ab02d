import NetworkPolicy

/// An answer that waits for a change of its sandbox's policy.
struct HeldAnswer {
    var answer: Answer
    /// The answer's age in seconds when it began to wait.
    var age: UInt32
    /// When it began to wait, in milliseconds.
    var since: UInt64
    var waiter: DNSLoop.Waiter
}

// An answer whose addresses cannot be learned yet is held and tried again, while other sandboxes are served.
extension DNSLoop {
    /// Milliseconds after which a held answer fails; the client will have asked again by then.
    private static let maxHeld: UInt64 = 5000
    /// Milliseconds between two tries; most policy changes take less than one.
    private static let heldInterval: UInt64 = 1

    /// When held answers are tried again; nil where there are none.
    var nextHeldTry: UInt64? { held.isEmpty ? nil : heldTriedAt + Self.heldInterval }

    func hold(_ answer: Answer, age: UInt32, for waiter: Waiter, _ client: Client) {
        guard client.held < configuration.pendingPerSandbox else {
            return fail(waiter, .overload, "too many answers are waiting for a change of policy")
        }
        client.held += 1
        held.append(HeldAnswer(answer: answer, age: age, since: present, waiter: waiter.detached))
    }

    func tryHeld() {
        guard let next = nextHeldTry, present >= next else { return }
        heldTriedAt = present
        let waiting = held
        held.removeAll(keepingCapacity: true)
        // If one answer of a sandbox has to wait on, so do its others.
        var busy: Set<DNSClient> = []
        for item in waiting {
            guard let client = clients[item.waiter.client] else { continue }
            guard !busy.contains(item.waiter.client) else {
                held.append(item)
                continue
            }
            client.held -= 1
            let before = held.count, time = present - item.since
            guard time < Self.maxHeld else {
                fail(item.waiter, .notLearned, "a change of the policy takes too long")
                continue
            }
            deliver(item.answer, age: item.age + UInt32(clamping: time / 1000), to: item.waiter, client)
            guard held.count > before else { continue }
            busy.insert(item.waiter.client)
            held[before] = item
        }
    }
}

/// Decides when a shell waits for the client that holds its terminal. A value without I/O or clock.
///
/// A client that reads gets every byte, as from any terminal: while it is behind, the shell's output is not read, and the shell
/// waits. But a client that does not read, or hardly, must not stop the shell: after at most two intervals without
/// `leastProgress` the shell goes on, and the client loses what the ring cannot keep.
struct Pace {
    /// How often `check` is called while the shell waits. Long enough that a client on a busy machine is not taken for one
    /// that does not read.
    static let interval = Duration.seconds(1)
    /// Bytes that a client has to take in an interval for the shell to wait on.
    static let leastProgress = 64 << 10

    enum Change: Hashable {
        case pause, resume
    }

    private(set) var isHolding = false
    /// The client was too slow, and has not caught up since.
    private(set) var isSlow = false
    /// Where the client was at the last check; nil before the first.
    private var mark: Int?

    /// Output was produced or taken.
    /// - Parameters:
    ///   - behind: how many bytes the client has not taken; 0 without a client.
    ///   - capacity: how many are kept.
    mutating func update(behind: Int, capacity: Int) -> Change? {
        if behind <= capacity / 4 {
            isSlow = false
            return isHolding ? end() : nil
        }
        guard !isHolding, !isSlow, behind > capacity / 2 else { return nil }
        (isHolding, mark) = (true, nil)
        return .pause
    }

    /// - Parameter position: the offset up to which the client has taken output.
    mutating func check(position: Int) -> Change? {
        guard isHolding else { return nil }
        guard let mark else {
            self.mark = position
            return nil
        }
        guard position - mark < Self.leastProgress else {
            self.mark = position
            return nil
        }
        isSlow = true
        return end()
    }

    private mutating func end() -> Change {
        isHolding = false
        return .resume
    }
}

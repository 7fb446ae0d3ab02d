/// The machine's ports that sandboxes may have.
struct PortPool: Hashable, Sendable {
    let range: ClosedRange<UInt16>
    private(set) var taken: Set<UInt16> = []
    private var next: UInt16

    init(_ range: ClosedRange<UInt16>) { (self.range, next) = (range, range.lowerBound) }

    /// A free port, searched from the last one given out, so that one is not reused at once: a client may still have it.
    /// - Parameter claim: whether no other program of the machine has it.
    /// - Returns: nil if there is none.
    mutating func lease(claim: (UInt16) -> Bool) -> UInt16? {
        for _ in range {
            let port = next
            next = port == range.upperBound ? range.lowerBound : port + 1
            guard !taken.contains(port), claim(port) else { continue }
            taken.insert(port)
            return port
        }
        return nil
    }

    mutating func occupy(_ port: UInt16) { taken.insert(port) }
    mutating func release(_ port: UInt16) { taken.remove(port) }
}

/// Numbers domain names in the order in which they come, and finds them again: the name and every zone above it in one
/// walk over its labels from the right, by the bytes that it has, so that no look-up allocates.
///
/// All names stand in one array, and the table of their hashes is another one: a hundred thousand names are three
/// allocations.
struct NameIndex: Sendable {
    private struct Slot {
        static let empty = Slot(hash: 0, number: -1)
        /// The part of the hash that does not say where the slot is: most others differ in it.
        var hash: UInt32
        var number: Int32
    }

    /// Who writes a policy cannot know which of its names share a slot.
    private let seed = UInt64.random(in: 0 ... .max)
    private var slots = [Slot](repeating: .empty, count: 16)
    /// Name n is `bytes[starts[n]..<starts[n + 1]]`.
    private var starts: [Int] = [0]
    private var bytes: [UInt8] = []

    var count: Int { starts.count - 1 }

    /// The number of a name, which is `count` before the call when it is new.
    mutating func insert(_ name: DomainName) -> Int {
        var hash = seed
        name.wire.withUnsafeBufferPointer { wire in
            Self.forEachSuffix(of: wire, seed: seed) { _, whole in hash = whole }
        }
        if let known = name.wire.withUnsafeBufferPointer({ find($0[...], hash) }) { return known }
        if 2 * (count + 1) > slots.count { grow() }
        let number = count
        bytes += name.wire
        starts.append(bytes.count)
        place(number, hash)
        return number
    }

    /// The numbers of a name and of the zones above it, as far as they are known; the nearest to the root first.
    func forEachKnown(atOrAbove name: DomainName, _ body: (_ number: Int, _ isName: Bool) -> Void) {
        name.wire.withUnsafeBufferPointer { wire in
            Self.forEachSuffix(of: wire, seed: seed) { start, hash in
                if let number = find(wire[start...], hash) { body(number, start == 0) }
            }
        }
    }

    /// Where a name's labels start, from the last to the first, each with the hash of all from there on.
    private static func forEachSuffix(
        of wire: UnsafeBufferPointer<UInt8>, seed: UInt64, _ body: (_ start: Int, _ hash: UInt64) -> Void
    ) {
        let mostLabels = 128
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: mostLabels) { starts in
            var count = 0, end = 0
            while wire[end] != 0 {
                starts[count] = UInt8(end)
                count += 1
                end += 1 + Int(wire[end])
            }
            var hash = seed
            while count > 0 {
                count -= 1
                let start = Int(starts[count])
                // FNV-1a, length byte and all.
                for position in start..<end { hash = (hash ^ UInt64(wire[position])) &* 0x100_0000_01b3 }
                body(start, hash)
                end = start
            }
        }
    }

    private func find(_ name: Slice<UnsafeBufferPointer<UInt8>>, _ hash: UInt64) -> Int? {
        let (first, rest) = Self.split(hash)
        let mask = slots.count - 1
        var place = first & mask
        while slots[place].number >= 0 {
            if slots[place].hash == rest, isName(Int(slots[place].number), name) { return Int(slots[place].number) }
            place = (place + 1) & mask
        }
        return nil
    }

    private func isName(_ number: Int, _ name: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        let start = starts[number]
        guard starts[number + 1] - start == name.count else { return false }
        var offset = start
        for byte in name {
            guard bytes[offset] == byte else { return false }
            offset += 1
        }
        return true
    }

    private mutating func place(_ number: Int, _ hash: UInt64) {
        let (first, rest) = Self.split(hash)
        let mask = slots.count - 1
        var place = first & mask
        while slots[place].number >= 0 { place = (place + 1) & mask }
        slots[place] = Slot(hash: rest, number: Int32(number))
    }

    private mutating func grow() {
        slots = [Slot](repeating: .empty, count: 2 * slots.count)
        for number in 0..<count {
            var hash = seed
            bytes[starts[number]..<starts[number + 1]].withUnsafeBufferPointer { wire in
                Self.forEachSuffix(of: wire, seed: seed) { _, whole in hash = whole }
            }
            place(number, hash)
        }
    }

    /// FNV leaves its last byte mostly in the low bits: they are mixed before some of them choose a slot.
    private static func split(_ hash: UInt64) -> (slot: Int, rest: UInt32) {
        let mixed = (hash ^ hash >> 32) &* 0x9e37_79b9_7f4a_7c15
        return (Int(truncatingIfNeeded: mixed >> 32), UInt32(truncatingIfNeeded: mixed))
    }
}

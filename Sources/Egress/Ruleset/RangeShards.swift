import Addresses
import NetworkPolicy

/// How the address rules are distributed over several interval maps of the kernel.
///
/// The kernel copies a whole interval map when one of its ranges changes, which takes milliseconds for 100,000 ranges.
/// Large plans are therefore split into shards with one map each. A constant verdict map leads from an address to its
/// shard. A range that spans two shards is cut.
struct RangeShards: Hashable, Sendable {
    /// Ranges in one shard when the shards are made.
    static let usualSize = 4096

    /// A single shard, for no ranges.
    static let whole = RangeShards(RangeTable())

    private let size: Int
    /// How many ranges there were when the shards were made.
    private let ranges: Int
    /// The first address of each shard but the first.
    private let startsV4: [IPAddress]
    private let startsV6: [IPAddress]

    init(_ blocks: RangeTable<UInt32>, size: Int = usualSize) {
        self.size = size
        let elements = blocks.elements
        ranges = elements.count
        func starts(isIPv4: Bool) -> [IPAddress] {
            let mine = elements.filter { $0.range.lowerBound.isIPv4 == isIPv4 }
            return stride(from: size, to: mine.count, by: size).map { mine[$0].range.lowerBound }
        }
        startsV4 = starts(isIPv4: true)
        startsV6 = starts(isIPv4: false)
    }

    /// Whether this number of ranges calls for new shards. Making them means installing everything again, so it should
    /// be rare.
    func isOutgrown(by ranges: Int) -> Bool { ranges > 2 * self.ranges + 2 * size }

    private func starts(_ isIPv4: Bool) -> [IPAddress] { isIPv4 ? startsV4 : startsV6 }

    func count(isIPv4: Bool) -> Int { starts(isIPv4).count + 1 }

    /// The address range of each shard; together all addresses of the family.
    func windows(isIPv4: Bool) -> [ClosedRange<IPAddress>] {
        let starts = starts(isIPv4), width = isIPv4 ? 4 : 16
        let first = IPAddress(bytes: [UInt8](repeating: 0, count: width))!
        let last = IPAddress(bytes: [UInt8](repeating: 255, count: width))!
        return zip([first] + starts, starts.map { $0.predecessor! } + [last]).map { $0...$1 }
    }

    /// The ranges of one family by shard, cut where they span several.
    func spread(_ members: [SandboxRuleset.Member], isIPv4: Bool) -> [Int: [SandboxRuleset.Member]] {
        let starts = starts(isIPv4)
        guard !starts.isEmpty else { return members.isEmpty ? [:] : [0: members] }
        var parts: [Int: [SandboxRuleset.Member]] = [:]
        for member in members {
            var rest = member.range, part = Self.part(of: rest.lowerBound, starts)
            while part < starts.count, starts[part] <= rest.upperBound {
                parts[part, default: []].append(.init(range: rest.lowerBound...starts[part].predecessor!, member))
                rest = starts[part]...rest.upperBound
                part += 1
            }
            parts[part, default: []].append(.init(range: rest, member))
        }
        return parts
    }

    /// The index of the shard that contains an address.
    private static func part(of address: IPAddress, _ starts: [IPAddress]) -> Int {
        var low = 0, high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension SandboxRuleset.Member {
    fileprivate init(range: ClosedRange<IPAddress>, _ whole: SandboxRuleset.Member) {
        self.init(range: range, profile: whole.profile)
    }
}

/// Ranges in the form that a kernel interval set needs: sorted, of one family, neither touching nor overlapping.
enum AddressRanges {
    static func normalized(_ ranges: some Sequence<ClosedRange<IPAddress>>) -> [ClosedRange<IPAddress>] {
        var merged: [ClosedRange<IPAddress>] = []
        for range in ranges.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
            if let last = merged.last, last.lowerBound.isIPv4 == range.lowerBound.isIPv4,
                range.lowerBound <= last.upperBound || successor(of: last.upperBound) == range.lowerBound
            {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        return merged
    }

    /// The next address of the family; `nil` after the last one.
    static func successor(of address: IPAddress) -> IPAddress? {
        var bytes = Array(address.bytes)
        for index in bytes.indices.reversed() {
            let (sum, overflow) = bytes[index].addingReportingOverflow(1)
            bytes[index] = sum
            if !overflow { return IPAddress(bytes: bytes) }
        }
        return nil
    }
}

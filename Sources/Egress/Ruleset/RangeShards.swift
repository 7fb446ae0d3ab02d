import NetworkPolicy

/// How the address rules are spread over interval maps of the kernel.
///
/// The kernel copies an interval map whenever one of its ranges changes: 100,000 ranges take milliseconds, whatever is
/// changed. A large plan therefore is in parts with a map each; a map of verdicts, which never changes, leads from an
/// address to its part. A range that lies in two parts is cut between them.
struct RangeShards: Hashable, Sendable {
    /// Ranges of one part, when the parts are made.
    static let usualSize = 4096

    /// Of no ranges: one part.
    static let whole = RangeShards(RangeTable())

    private let size: Int
    /// Ranges that there were.
    private let ranges: Int
    /// Where each part but the first begins.
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

    /// Whether so many ranges want other parts. To make those, everything is installed anew: not often.
    func isOutgrown(by ranges: Int) -> Bool { ranges > 2 * self.ranges + 2 * size }

    private func starts(_ isIPv4: Bool) -> [IPAddress] { isIPv4 ? startsV4 : startsV6 }

    func count(isIPv4: Bool) -> Int { starts(isIPv4).count + 1 }

    /// What each part is responsible for: together all addresses of the family.
    func windows(isIPv4: Bool) -> [ClosedRange<IPAddress>] {
        let starts = starts(isIPv4), width = isIPv4 ? 4 : 16
        let first = IPAddress(bytes: [UInt8](repeating: 0, count: width))!
        let last = IPAddress(bytes: [UInt8](repeating: 255, count: width))!
        return zip([first] + starts, starts.map { $0.predecessor! } + [last]).map { $0...$1 }
    }

    /// Ranges of one family by the part that they are in, cut where they lie in several.
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

    /// How many parts begin at or before the address, the first left out.
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

import Addresses
import NetworkPolicy
import Testing

@testable import Egress

@Suite struct BlockPartsTests {
    private func address(_ number: Int) -> IPAddress { .v4(IPv4Address(rawValue: UInt32(number))) }

    /// Ranges that lie apart from each other, the last one at the end of all addresses.
    private func blocks(_ count: Int) -> RangeTable<UInt32> {
        let last = 1 << 32
        let ranges = (0..<count).map { number in
            let start = number == count - 1 ? last - 4 : 1000 + number * 8
            return RangeTable<UInt32>.Element(address(start)...address(start + 3), UInt32(number % 3))
        }
        let v6 = RangeTable<UInt32>.Element(IPAddress("2001:db8::")!...IPAddress("2001:db8::ff")!, 1)
        return RangeTable(ranges + [v6])
    }

    @Test func `the windows are all addresses, each once, with as many ranges in each as it may have`() {
        for (count, size) in [(1, 4), (4, 4), (5, 4), (100, 7), (100, 1)] {
            let blocks = blocks(count), parts = RangeShards(blocks, size: size)
            #expect(parts.count(isIPv4: true) == (count + size - 1) / size && parts.count(isIPv4: false) == 1)
            for isIPv4 in [true, false] {
                let windows = parts.windows(isIPv4: isIPv4)
                #expect(windows.count == parts.count(isIPv4: isIPv4))
                #expect(windows.first?.lowerBound == IPAddress(isIPv4 ? "0.0.0.0" : "::"))
                #expect(windows.last?.upperBound.successor == nil)
                #expect(zip(windows, windows.dropFirst()).allSatisfy { $0.upperBound.successor == $1.lowerBound })
            }
            let members = blocks.elements.filter { $0.range.lowerBound.isIPv4 }.map { SandboxRuleset.Member($0) }
            let spread = parts.spread(members, isIPv4: true)
            #expect(spread.values.allSatisfy { $0.count <= size })
            #expect(spread.sorted { $0.key < $1.key }.flatMap(\.value) == members, "none of its own ranges is cut")
        }
    }

    @Test func `a range that lies in several parts is cut, and its pieces are the range`() {
        let parts = RangeShards(blocks(64), size: 4)
        for _ in 0..<200 {
            let ends = [Int.random(in: 900...1600), Int.random(in: 900...1600)].sorted()
            let whole = SandboxRuleset.Member(range: address(ends[0])...address(ends[1]), profile: 7)
            let pieces = parts.spread([whole], isIPv4: true).sorted { $0.key < $1.key }
            #expect(pieces.allSatisfy { $0.value.count == 1 && $0.value[0].profile == 7 })
            let windows = parts.windows(isIPv4: true)
            for (part, piece) in pieces {
                #expect(
                    windows[part].contains(piece[0].range.lowerBound)
                        && windows[part].contains(piece[0].range.upperBound))
            }
            let ranges = pieces.map(\.value[0].range)
            #expect(ranges.first?.lowerBound == whole.range.lowerBound)
            #expect(ranges.last?.upperBound == whole.range.upperBound)
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound.successor == $1.lowerBound })
        }
    }

    @Test func `parts are made anew when there are about twice as many ranges, not before`() {
        let parts = RangeShards(blocks(99), size: 10)
        #expect(!parts.isOutgrown(by: 0) && !parts.isOutgrown(by: 220) && parts.isOutgrown(by: 221))
    }
}

import NetworkPolicy
import Testing

@Suite struct PortMapTests {
    private func random() -> (PortMap<Int>, (UInt16) -> Int?) {
        let ranges = (0..<Int.random(in: 0...5)).map { _ in
            let ends = [edges.randomElement()!, edges.randomElement()!].sorted()
            return ends[0]...ends[1]
        }
        let value = Int.random(in: 0...2)
        return (PortMap(value, ports: ranges), { port in ranges.contains { $0.contains(port) } ? value : nil })
    }
    private let edges: [UInt16] = [0, 1, 2, 79, 80, 81, 442, 443, 444, 8000, 65534, 65535]

    @Test func `joined maps say of each port what the parts say`() {
        for _ in 0..<3000 {
            let (left, leftOracle) = random(), (right, rightOracle) = random(), (third, thirdOracle) = random()
            let choose: (Int?, Int?) -> Int? = { [$0, $1].compactMap(\.self).min() }
            let joined = left.combined(with: right, by: choose).combined(with: third, by: choose)
            for port in edges {
                #expect(joined[port] == choose(choose(leftOracle(port), rightOracle(port)), thirdOracle(port)))
                #expect(joined.ranges.first { $0.ports.contains(port) }?.value == joined[port])
            }
        }
    }

    @Test func `maps that say the same are equal, however they were made`() {
        #expect(PortMap(1, ports: [0...99, 100...65535]) == PortMap(1))
        #expect(PortMap(1, ports: [5...9, 3...6]) == PortMap(1, ports: [3...9]))
        #expect(PortMap<Int>(nil) == PortMap(1, ports: []))
        let none = PortMap(1, ports: [80...80]).combined(with: PortMap<Int>(nil)) { _, _ in Int?.none }
        #expect(none == PortMap<Int>(nil))
    }
}

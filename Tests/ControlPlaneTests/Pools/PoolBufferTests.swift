import Runtimes
import Testing

@testable import ControlPlane

private func buffer(waiting: Int, most: Int, least: Int = 0) -> PoolBuffer {
    PoolBuffer(
        Pool(
            name: "p", template: PoolTemplate(image: "known"),
            capacity: PoolCapacity(bufferMin: 0, bufferMax: waiting, poolMin: least, poolMax: most), createdAt: .now()))
}

extension PoolBuffer {
    fileprivate mutating func fill() {
        while missing > 0 {
            let id = Sandbox.identifier()
            began(making: id)
            guard made(id) else { return }
        }
    }
}

@Suite struct PoolBufferTests {
    @Test func `as many wait as bufferMax, and never more in all than poolMax`() {
        var pool = buffer(waiting: 3, most: 4)
        pool.fill()
        #expect(pool.available.count == 3 && pool.missing == 0)
        let first = pool.available[0]
        let taken = pool.take()
        #expect(taken == first, "the oldest goes first")
        pool.fill()
        #expect(pool.available.count == 3 && pool.total == 4)
        _ = pool.take()
        pool.fill()
        #expect(pool.available.count == 2 && pool.total == 4 && pool.missing == 0)
    }

    @Test func `poolMin holds where fewer are in use`() {
        var pool = buffer(waiting: 1, most: 10, least: 4)
        pool.fill()
        #expect(pool.available.count == 4)
        for _ in 0..<3 { _ = pool.take() }
        pool.fill()
        #expect(pool.available.count == 1 && pool.total == 4)
    }

    @Test func `what is too many is shed, the newest first`() {
        var pool = buffer(waiting: 3, most: 9)
        pool.fill()
        let oldest = pool.available[0]
        pool.pool.capacity.bufferMax = 1
        #expect(pool.surplus == 2)
        let shed = [pool.shed(), pool.shed(), pool.shed()]
        #expect(!shed.contains(oldest) && shed[2] == nil)
        #expect(pool.available == [oldest])
    }

    @Test func `what was made from another image than the pool's is no longer handed out, and replaced`() {
        var pool = buffer(waiting: 3, most: 9)
        let images: [ImageRevision?] = [.digest("old"), .digest("new"), nil]
        for (id, image) in zip(["a", "b", "c"], images) {
            pool.began(making: id)
            _ = pool.made(id, from: image)
        }
        let outdated = [pool.imageIs(.digest("new")), pool.imageIs(.digest("new"))]
        #expect(outdated == [1, 0])
        #expect(pool.available == ["b", "c"], "of one whose image is not known nothing is known to be old")
        #expect(pool.missing == 1 && pool.total == 2)
        let (taken, shed) = (pool.take(), [pool.shed(), pool.shed()])
        #expect(taken == "b" && shed == ["a", nil])
    }

    @Test func `one that is outdated can be lost, or emptied with the others`() {
        var pool = buffer(waiting: 3, most: 9)
        for id in ["a", "b", "c"] {
            pool.began(making: id)
            _ = pool.made(id, from: .digest(id))
        }
        let outdated = pool.imageIs(.digest("c"))
        let lost = [pool.lost("a"), pool.lost("a")]
        #expect(outdated == 2 && lost == [true, false])
        let emptied = [pool.empty(), pool.empty()]
        #expect(emptied == [["c", "b"], []] && pool.total == 0)
    }

    @Test func `one that was made in vain does not wait`() {
        var pool = buffer(waiting: 1, most: 9)
        pool.began(making: "a")
        pool.pool.capacity.bufferMax = 0
        let (waits, unknown) = (pool.made("a"), pool.made("unknown"))
        #expect(!waits && !unknown && pool.total == 0)
    }

    @Test func `whatever happens, nothing is handed out twice and no pool grows beyond its limit`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var pool = buffer(waiting: .random(in: 0...5), most: .random(in: 0...8), least: .random(in: 0...3))
            var handedOut: Set<String> = [], making: [String] = [], limit = pool.pool.capacity.poolMax
            for step in 0..<200 {
                switch Int.random(in: 0..<8, using: &random) {
                case 0, 1:
                    guard pool.missing > 0 else { continue }
                    making.append("m\(step)")
                    pool.began(making: "m\(step)")
                case 2:
                    if let id = making.popLast() { _ = pool.made(id) }
                case 3:
                    if let id = making.popLast() { pool.gaveUp(making: id) }
                case 4:
                    guard let id = pool.take() else { continue }
                    #expect(handedOut.insert(id).inserted)
                case 5:
                    if pool.reserve("c\(step)") { #expect(handedOut.insert("c\(step)").inserted) }
                case 6:
                    if let id = pool.allocated.randomElement() { pool.use(id, isInUse: false) }
                default:
                    pool.pool.capacity.poolMax = .random(in: 0...8)
                    limit = max(limit, pool.pool.capacity.poolMax)
                    while pool.shed() != nil {}
                }
                #expect(pool.total - pool.making.count <= limit && pool.missing >= 0 && pool.surplus >= 0)
                #expect(pool.making.count == making.count)
            }
        }
    }
}

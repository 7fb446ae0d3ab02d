import Testing

@testable import ControlPlane

@Suite struct DialQueueTests {
    @Test func `so many run at once, of one sandbox fewer, and the rest in the order in which they came`() {
        var queue = DialQueue<Int>(most: 3, maxOfOne: 2, maxWaiting: 3)
        #expect(queue.ask(1, of: "a") == .now && queue.ask(2, of: "a") == .now && queue.ask(3, of: "a") == .later)
        #expect(queue.ask(4, of: "b") == .now && queue.ask(5, of: "b") == .later && queue.ask(6, of: "a") == .later)
        #expect(queue.ask(7, of: "c") == .never)
        // A place of b's is free: a has all of its own.
        let next = queue.end("b")
        #expect(next?.dial == 5 && next?.key == "b")
        #expect(queue.end("a")?.dial == 3)
        #expect(queue.end("b") == nil)
        #expect(queue.ask(8, of: "c") == .now)
        #expect(queue.end("a")?.dial == 6 && queue.end("a") == nil && queue.end("a") == nil && queue.end("c") == nil)
        #expect(queue.ask(9, of: "a") == .now)
    }

    @Test func `one sandbox's callers do not take the places in which others wait`() {
        var queue = DialQueue<Int>(most: 1, maxOfOne: 1, maxWaiting: 4, maxWaitingOfOne: 2)
        #expect(queue.ask(0, of: "a") == .now)
        let answers = (1...5).map { queue.ask($0, of: "a") }
        #expect(answers == [.later, .later, .never, .never, .never])
        #expect(queue.ask(6, of: "b") == .later)
        #expect(queue.end("a")?.dial == 1 && queue.ask(7, of: "a") == .later && queue.ask(8, of: "a") == .never)
        #expect(queue.end("a")?.dial == 2 && queue.end("a")?.dial == 6)
    }

    @Test func `every dial runs once, whatever ends first`() {
        var generator = SystemRandomNumberGenerator()
        var queue = DialQueue<Int>(most: 5, maxOfOne: 2, maxWaiting: 1000, maxWaitingOfOne: 1000)
        var running: [(key: String, dial: Int)] = [], ran: [Int] = []
        for number in 0..<500 {
            let key = "s\(Int.random(in: 0..<4, using: &generator))"
            if queue.ask(number, of: key) == .now { running.append((key, number)) }
            while !running.isEmpty, Bool.random(using: &generator) || number == 499 {
                let ended = running.remove(at: Int.random(in: 0..<running.count, using: &generator))
                ran.append(ended.dial)
                if let next = queue.end(ended.key) { running.append(next) }
                #expect(running.count <= 5 && Dictionary(grouping: running, by: \.key).allSatisfy { $1.count <= 2 })
            }
        }
        #expect(ran.sorted() == Array(0..<500))
    }
}

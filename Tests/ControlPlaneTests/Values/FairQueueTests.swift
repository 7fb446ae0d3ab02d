import Testing

@testable import ControlPlane

@Suite struct FairQueueTests {
    @Test func `so many run at once, of one owner fewer, and the rest in the order in which they came`() {
        var queue = FairQueue<Int>(most: 3, maxOfOne: 2, maxWaiting: 3)
        #expect(queue.ask(1, of: "a") == .now && queue.ask(2, of: "a") == .now && queue.ask(3, of: "a") == .later)
        #expect(queue.ask(4, of: "b") == .now && queue.ask(5, of: "b") == .later && queue.ask(6, of: "a") == .later)
        #expect(queue.ask(7, of: "c") == .never)
        // A place of b's is free: a has all of its own.
        let next = queue.end("b")
        #expect(next?.job == 5 && next?.key == "b")
        #expect(queue.end("a")?.job == 3)
        #expect(queue.end("b") == nil)
        #expect(queue.ask(8, of: "c") == .now)
        #expect(queue.end("a")?.job == 6 && queue.end("a") == nil && queue.end("a") == nil && queue.end("c") == nil)
        #expect(queue.ask(9, of: "a") == .now)
    }

    @Test func `one owner's jobs do not take the places in which others wait`() {
        var queue = FairQueue<Int>(most: 1, maxOfOne: 1, maxWaiting: 4, maxWaitingOfOne: 2)
        #expect(queue.ask(0, of: "a") == .now)
        let answers = (1...5).map { queue.ask($0, of: "a") }
        #expect(answers == [.later, .later, .never, .never, .never])
        #expect(queue.ask(6, of: "b") == .later)
        #expect(queue.end("a")?.job == 1 && queue.ask(7, of: "a") == .later && queue.ask(8, of: "a") == .never)
        #expect(queue.end("a")?.job == 2 && queue.end("a")?.job == 6)
    }

    @Test func `every job runs once, whatever ends first`() {
        var generator = SystemRandomNumberGenerator()
        var queue = FairQueue<Int>(most: 5, maxOfOne: 2, maxWaiting: 1000, maxWaitingOfOne: 1000)
        var running: [(key: String, job: Int)] = [], ran: [Int] = []
        for number in 0..<500 {
            let key = "s\(Int.random(in: 0..<4, using: &generator))"
            if queue.ask(number, of: key) == .now { running.append((key, number)) }
            while !running.isEmpty, Bool.random(using: &generator) || number == 499 {
                let ended = running.remove(at: Int.random(in: 0..<running.count, using: &generator))
                ran.append(ended.job)
                if let next = queue.end(ended.key) { running.append(next) }
                #expect(running.count <= 5 && Dictionary(grouping: running, by: \.key).allSatisfy { $1.count <= 2 })
            }
        }
        #expect(ran.sorted() == Array(0..<500))
    }

    @Test func `a place that is given up is another's`() {
        var queue = FairQueue<Int>(most: 1, maxOfOne: 1, maxWaiting: 2, maxWaitingOfOne: 2)
        #expect(queue.ask(0, of: "a") == .now && queue.ask(1, of: "a") == .later && queue.ask(2, of: "a") == .later)
        queue.callOff { $0 == 1 }
        queue.callOff { $0 == 7 }
        #expect(queue.ask(3, of: "a") == .later && queue.ask(4, of: "a") == .never)
        #expect(queue.end("a")?.job == 2 && queue.end("a")?.job == 3 && queue.end("a") == nil)
    }
}

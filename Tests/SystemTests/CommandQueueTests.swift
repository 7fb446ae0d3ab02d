import Glibc
import System
import Testing

@Suite struct CommandQueueTests {
    private func isReadable(_ queue: CommandQueue<Int>) -> Bool {
        var entry = pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) == 1
    }

    @Test func `the descriptor is readable while commands wait, and they come in order, each once`() throws {
        let queue = try CommandQueue<Int>()
        #expect(!isReadable(queue) && queue.take().isEmpty)
        for number in 0..<3 { queue.send(number) }
        #expect(isReadable(queue))
        #expect(queue.take() == [0, 1, 2])
        #expect(!isReadable(queue) && queue.take().isEmpty)
        queue.send(3)
        #expect(isReadable(queue) && queue.take() == [3])
    }

    @Test func `a thread that waits for the descriptor hears every command of many senders`() async throws {
        let queue = try CommandQueue<Int>()
        let (heard, listener) = AsyncStream<Int>.makeStream()
        try DetachedThread.start {
            while true {
                var entry = pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0)
                poll(&entry, 1, -1)
                for command in queue.take() {
                    if command < 0 { return listener.finish() }
                    listener.yield(command)
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for sender in 0..<4 {
                group.addTask { for number in 0..<500 { queue.send(sender * 500 + number) } }
            }
        }
        queue.send(-1)
        var all: [Int] = []
        for await number in heard { all.append(number) }
        #expect(all.sorted() == Array(0..<2000))
        for sender in 0..<4 {
            let own = all.filter { $0 / 500 == sender }
            #expect(own == own.sorted(), "what one sends stays in order")
        }
    }
}

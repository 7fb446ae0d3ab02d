import HTTPServer
import Testing

@testable import Execd

@Suite struct StreamPingTests {
    @Test func `a stream is told of again and again, until it ends or its client has gone`() async {
        let pings = StreamPings(interval: .milliseconds(1))
        let (told, tell) = AsyncStream<Int>.makeStream()
        let (never, end) = AsyncStream<Void>.makeStream()
        let slow = pings.begin {
            tell.yield(0)
            for await _ in never {}
        }
        let lasting = pings.begin { tell.yield(1) }
        let gone = pings.begin {
            tell.yield(2)
            throw HTTPBodyError.clientGone
        }
        var counts = [0, 0, 0]
        for await number in told {
            counts[number] += 1
            if counts[1] >= 5, counts[0] >= 1, counts[2] >= 1 { break }
        }
        // Who is slow is told of nothing else meanwhile, and holds up nobody.
        #expect(counts[0] == 1 && counts[2] == 1)
        for ticket in [slow, lasting, gone] { ticket.cancel() }
        end.finish()
    }
}

@testable import Egress
@testable import FlowCheck

/// What a sandbox sends first on a connection that is checked.
enum FlowFuzz {
    /// However it comes, it says the same; and a name that is accepted stands in it.
    static func opening(_ bytes: UnsafeRawBufferPointer) {
        let whole = outcome(bytes, step: max(1, bytes.count))
        for step in [1, 3, 64] {
            let cut = outcome(bytes, step: step)
            // A refusal may come earlier, and then for another reason.
            promise((cut == nil) == (whole == nil), "cut by \(step) it is \(cut ?? "refused")")
            if let cut, let whole { promise(cut == whole, "cut by \(step) it is \(cut), whole it is \(whole)") }
        }
    }

    /// nil where it is refused; empty where it says nothing yet.
    private static func outcome(_ bytes: UnsafeRawBufferPointer, step: Int) -> String? {
        var opening = FlowOpening()
        for start in stride(from: 0, to: bytes.count, by: step) {
            let part = Array(bytes[start..<min(start + step, bytes.count)])
            do {
                guard let said = try opening.append(part) else { continue }
                let name = Array("\(said.name)".utf8)
                let lower = bytes.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
                // A hello's name may be cut by the header of a record.
                if case .request = said {
                    promise(lower.indices.contains { lower[$0...].starts(with: name) }, "\(said.name) is not there")
                }
                return "\(said.name) \(opening.bytes.count - opening.rest.count)"
            } catch {
                return nil
            }
        }
        return ""
    }

    /// The end of a chunked body is the same however it is cut.
    static func body(_ bytes: UnsafeRawBufferPointer) {
        func end(_ step: Int) -> Int? {
            var body = ChunkedBody(), taken = 0
            for start in stride(from: 0, to: bytes.count, by: step) {
                guard let count = try? body.consume(Array(bytes[start..<min(start + step, bytes.count)])[...]) else {
                    return nil
                }
                taken += count
                if body.isAtEnd { break }
            }
            return taken
        }
        let whole = end(max(1, bytes.count))
        for step in [1, 2, 7] { promise(end(step) == whole, "cut by \(step)") }
    }

    /// A server's first bytes, and a second hello.
    static func reply(_ bytes: UnsafeRawBufferPointer) {
        let whole = Array(bytes)
        let asks = try? ServerReply.asksForHello(whole)
        for length in 0..<min(bytes.count, 64) {
            guard let early = (try? ServerReply.asksForHello(Array(whole[..<length]))) ?? nil else { continue }
            promise(early == asks, "\(length) bytes say otherwise")
        }
        var second = SecondHello()
        let name = (try? second.append(whole)) ?? nil
        var slow = SecondHello(), slowly: String?
        for byte in whole where slowly == nil {
            do { slowly = try slow.append([byte]).map { "\($0)" } } catch { break }
        }
        if let name { promise(slowly == "\(name)", "byte by byte it is \(slowly ?? "nobody")") }
    }
}

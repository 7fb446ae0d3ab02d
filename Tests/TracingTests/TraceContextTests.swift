import Testing

@testable import Tracing

private let trace = "0af7651916cd43dd8448eb211c80319c", span = "b7ad6b7169203331"

@Suite struct TraceContextTests {
    @Test(arguments: ["00", "01"]) func `what is of the format is read and written alike`(flags: String) throws {
        let text = "00-\(trace)-\(span)-\(flags)"
        let context = try #require(TraceContext(traceparent: text))
        #expect(context.traceparent == text && context.isSampled == (flags == "01"))
        #expect(context.span == 0xb7ad_6b71_6920_3331 && context.fields.map(\.name) == ["traceparent"])
    }

    @Test func `a later version is read as far as it is known, and this one has no more than that`() {
        for more in ["", "-", "-what-the-future-will-be-like"] {
            #expect(TraceContext(traceparent: "cc-\(trace)-\(span)-01\(more)")?.isSampled == true)
            #expect((TraceContext(traceparent: "00-\(trace)-\(span)-01\(more)") != nil) == more.isEmpty)
        }
        #expect(TraceContext(traceparent: "cc-\(trace)-\(span)-01.more") == nil)
        #expect(TraceContext(traceparent: "cc-\(trace)-\(span)-ff")?.traceparent == "00-\(trace)-\(span)-03")
    }

    @Test(arguments: [
        "", "00", "ff-\(trace)-\(span)-01", "00-\(trace.uppercased())-\(span)-01", "00-\(trace)-\(span)-0X",
        "00-00000000000000000000000000000000-\(span)-01", "00-\(trace)-0000000000000000-01", "00-\(trace)-\(span)-1",
        " 00-\(trace)-\(span)-01", "00-\(trace)-\(span)-01 ", "00_\(trace)_\(span)_01", "0-\(trace)-\(span)-01",
        "00-\(trace)\(span)-01", "00-\(trace)-\(span)-01\r\nx: y", "00-\(trace)-\(span)\0-01",
        "００-\(trace)-\(span)-01",
    ])
    func `what is not of the format is nothing`(text: String) { #expect(TraceContext(traceparent: text) == nil) }

    /// A reader that takes nothing for granted: the parts between the dashes, each looked at by itself.
    private func isOfTheFormat(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, zip(parts, [2, 32, 16, 2]).allSatisfy({ $0.utf8.count == $1 }) else { return false }
        let digits = Set("0123456789abcdef".utf8)
        return parts.allSatisfy { $0.utf8.allSatisfy(digits.contains) } && parts[0] == "00"
            && parts[1].contains { $0 != "0" } && parts[2].contains { $0 != "0" }
    }

    @Test func `any one byte that is changed makes it what a simple reader says, too`() {
        let text = Array("00-\(trace)-\(span)-01".utf8)
        for place in text.indices {
            for byte in UInt8(0)...127 {
                var changed = text
                changed[place] = byte
                let other = String(decoding: changed, as: UTF8.self)
                // Versions have a test of their own.
                guard place > 1 else { continue }
                #expect((TraceContext(traceparent: other) != nil) == isOfTheFormat(other), "\(other)")
            }
        }
    }

    @Test func `what other systems send along goes on, in one field and in its order`() throws {
        let text = "00-\(trace)-\(span)-01"
        let context = try #require(TraceContext(traceparent: text, state: ["a=1 , b@c=x y,", "", "d_-*/9=!"]))
        #expect(context.fields.map(\.value) == [text, "a=1,b@c=x y,d_-*/9=!"])
        #expect(context.with(span: 7, isSampled: false).state == context.state)
    }

    @Test(arguments: [
        "a", "=1", "A=1", "a=", "a=1,a=2", "a=b=c", "a@=1", "@a=1", "a@b@c=1", "1=1", "a=\u{1}", "a=1\r\nx: y", "ä=1",
        "a=" + String(repeating: "x", count: 257), "a@bcdefghijklmnop=1",
        (0..<33).map { "k\($0)=1" }.joined(separator: ","),
        (0..<20).map { "k\($0)=" + String(repeating: "x", count: 30) }.joined(separator: ","),
    ])
    func `a malformed or overlong state takes itself away, and not the context`(state: String) throws {
        let context = try #require(TraceContext(traceparent: "00-\(trace)-\(span)-01", state: [state]))
        #expect(context.state == .none && context.isSampled)
    }

    @Test func `new traces differ and are never zero`() {
        var seen: Set<String> = []
        for _ in 0..<100 {
            let context = TraceContext(newWithSpan: 1) { _ in true }
            #expect(TraceContext(traceparent: context.traceparent) == context)
            seen.insert(context.traceDigits)
        }
        #expect(seen.count == 100)
    }
}

@Suite struct SamplerTests {
    @Test func `a ratio takes about its part, and the same of it everywhere`() {
        let few = Sampler(ratio: 0.1), many = Sampler(ratio: 0.5)
        var counts = [0, 0]
        for number in 0..<10_000 {
            // Spread evenly over all numbers.
            let trace = UInt64(number) &* 0x9e37_79b9_7f4a_7c15
            if few.takes(traceLow: trace) {
                counts[0] += 1
                #expect(many.takes(traceLow: trace), "what fewer take, more take")
            }
            if many.takes(traceLow: trace) { counts[1] += 1 }
        }
        #expect((900...1100).contains(counts[0]) && (4900...5100).contains(counts[1]))
        for edge in [UInt64.min, .max] {
            #expect(Sampler(ratio: 1).takes(traceLow: edge) && !Sampler(ratio: 0).takes(traceLow: edge))
        }
        #expect(Sampler(ratio: .nan).ratio == 0 && Sampler(ratio: 7).ratio == 1 && Sampler(ratio: -1).ratio == 0)
    }

    @Test(arguments: [true, false]) func `whoever asks decides, unless told otherwise`(follows: Bool) throws {
        let sampler = Sampler(ratio: 0, followsParent: follows)
        let parent = try #require(TraceContext(traceparent: "00-\(trace)-\(span)-01"))
        #expect(sampler.takes(parent) == follows)
    }

    @Test func `samplers are named as OpenTelemetry names them`() {
        #expect(Sampler(name: "always_on", argument: nil) == Sampler(ratio: 1, followsParent: false))
        #expect(Sampler(name: "parentbased_always_off", argument: "x") == Sampler(ratio: 0))
        #expect(Sampler(name: "parentbased_traceidratio", argument: "0.25") == Sampler(ratio: 0.25))
        #expect(Sampler(name: "traceidratio", argument: nil)?.ratio == 1)
        for (name, argument) in [("traceidratio", "2"), ("traceidratio", "nan"), ("traceidratio", ""), ("jaeger", "1")]
        {
            #expect(Sampler(name: name, argument: argument) == nil)
        }
    }
}

/// Which trace a request is part of, and which span asked for it (W3C Trace Context, `traceparent` and `tracestate`). A value
/// without I/O.
///
/// The text comes from strangers. What is not exactly the format is no context at all: it is never repaired, and nothing of it is
/// sent anywhere.
package struct TraceContext: Hashable, Sendable {
    /// The trace's 16 bytes.
    package let traceHigh: UInt64
    package let traceLow: UInt64
    /// The asking span's 8 bytes; never zero.
    package let span: UInt64
    /// Only the two bits that the specification names.
    package let flags: UInt8
    /// Of other systems on the way.
    package let state: TraceState

    private static let sampled: UInt8 = 1
    /// `sampled` and `random-trace-id`.
    private static let known: UInt8 = 3

    init(traceHigh: UInt64, traceLow: UInt64, span: UInt64, flags: UInt8, state: TraceState = .none) {
        (self.traceHigh, self.traceLow, self.span) = (traceHigh, traceLow, span)
        (self.flags, self.state) = (flags & Self.known, state)
    }

    /// A new trace, whose first span this is.
    init(newWithSpan span: UInt64, isSampled: (_ traceLow: UInt64) -> Bool) {
        var high: UInt64 = 0, low: UInt64 = 0
        while high == 0 { high = .random(in: 0 ... .max) }
        low = .random(in: 0 ... .max)
        self.init(traceHigh: high, traceLow: low, span: span, flags: isSampled(low) ? Self.sampled : 0)
    }

    /// The same trace, as another span passes it on.
    func with(span: UInt64, isSampled: Bool) -> TraceContext {
        TraceContext(
            traceHigh: traceHigh, traceLow: traceLow, span: span,
            flags: flags & ~Self.sampled | (isSampled ? Self.sampled : 0), state: state)
    }

    /// Whether whoever asks records its spans.
    package var isSampled: Bool { flags & Self.sampled != 0 }

    /// Version 00: `00-<32 digits>-<16 digits>-<2 digits>`. A later version may have more behind a dash, which is not looked at.
    /// - Parameters:
    ///   - traceparent: the only field of that name.
    ///   - state: all fields `tracestate`, in their order. One that is malformed takes the state away, not the context.
    package init?(traceparent: String, state fields: [String] = []) {
        var text = traceparent
        let read = text.withUTF8 { bytes -> (high: UInt64, low: UInt64, span: UInt64, flags: UInt64)? in
            guard bytes.count >= 55, let version = Self.number(bytes[0..<2]), version != 0xff,
                bytes.count == 55 || (version != 0 && bytes[55] == UInt8(ascii: "-")),
                bytes[2] == UInt8(ascii: "-"), bytes[35] == UInt8(ascii: "-"), bytes[52] == UInt8(ascii: "-"),
                let high = Self.number(bytes[3..<19]), let low = Self.number(bytes[19..<35]), high != 0 || low != 0,
                let span = Self.number(bytes[36..<52]), span != 0, let flags = Self.number(bytes[53..<55])
            else { return nil }
            return (high, low, span, flags)
        }
        guard let read else { return nil }
        self.init(
            traceHigh: read.high, traceLow: read.low, span: read.span, flags: UInt8(read.flags),
            state: TraceState(fields))
    }

    package var traceparent: String {
        "00-\(Self.digits(traceHigh))\(Self.digits(traceLow))-\(Self.digits(span))-0\(flags)"
    }

    /// What goes along with a request.
    package var fields: [(name: String, value: String)] {
        [("traceparent", traceparent)] + (state.text.isEmpty ? [] : [("tracestate", state.text)])
    }

    var traceDigits: String { Self.digits(traceHigh) + Self.digits(traceLow) }

    /// Lower-case digits alone: nil for any other byte.
    private static func number(_ digits: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        var number: UInt64 = 0
        for byte in digits {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return number
    }

    /// Sixteen digits.
    static func digits(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}

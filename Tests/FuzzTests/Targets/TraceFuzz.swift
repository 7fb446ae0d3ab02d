@testable import Tracing

/// What a client says about the trace of its request: the first line is `traceparent`, the others are `tracestate`.
enum TraceFuzz {
    static func context(_ bytes: UnsafeRawBufferPointer) {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard let context = TraceContext(traceparent: String(lines[0]), state: lines.dropFirst().map(String.init))
        else { return }
        promise(context.span != 0 && (context.traceHigh != 0 || context.traceLow != 0), "an id is zero")
        let fields = context.fields
        for field in fields {
            promise(field.value.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "a field would be another field")
        }
        promise(fields[0].value.utf8.count == 55, "the field is not of version 00")
        promise(context.state.text.utf8.count <= 512, "the state is too long")
        let again = TraceContext(traceparent: fields[0].value, state: fields.dropFirst().map(\.value))
        promise(again == context, "what is written is not what was read")
        for ratio in [0, 0.3, 1] { _ = Sampler(ratio: ratio, followsParent: false).takes(context) }
    }
}

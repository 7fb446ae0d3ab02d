/// A span that is over.
package struct SpanRecord: Hashable, Sendable {
    /// OTLP's numbers.
    package enum Kind: Int, Hashable, Sendable {
        case `internal` = 1
        case server = 2
        case client = 3
    }

    package enum Value: Hashable, Sendable {
        case text(String)
        case number(Int)
    }

    package struct Attribute: Hashable, Sendable {
        package var name: String
        package var value: Value

        package init(_ name: String, _ value: Value) { (self.name, self.value) = (name, value) }
    }

    /// The trace, and the span's own id.
    package var context: TraceContext
    /// The id of the span that asked; nil for a trace's first.
    package var parent: UInt64?
    package var name: String
    package var kind: Kind
    /// Nanoseconds since 1970.
    package var start: UInt64
    package var end: UInt64
    package var attributes: [Attribute] = []
    /// What went wrong; nil if nothing did.
    package var failure: String?
}

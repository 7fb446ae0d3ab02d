/// Which traces are recorded. A value without I/O.
package struct Sampler: Hashable, Sendable {
    /// Of the traces that begin here, 0 to 1.
    package var ratio: Double
    /// Whether a request that belongs to a trace already is recorded where the asking span is. Where clients are strangers, they
    /// then choose what is recorded, up to what the queue takes.
    package var followsParent: Bool

    package init(ratio: Double = 1, followsParent: Bool = true) {
        self.ratio = ratio.isFinite ? min(max(ratio, 0), 1) : 0
        self.followsParent = followsParent
    }

    /// By the names of OpenTelemetry's `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`; nil for others, and for an argument
    /// that is no ratio.
    package init?(name: String, argument: String?) {
        let followsParent = name.hasPrefix("parentbased_")
        switch followsParent ? String(name.dropFirst("parentbased_".count)) : name {
        case "always_on": self.init(ratio: 1, followsParent: followsParent)
        case "always_off": self.init(ratio: 0, followsParent: followsParent)
        case "traceidratio":
            let ratio = argument.map { Double($0) ?? -1 } ?? 1
            guard (0...1).contains(ratio) else { return nil }
            self.init(ratio: ratio, followsParent: followsParent)
        default: return nil
        }
    }

    /// The same answer for one trace wherever it is asked, as other implementations give it: by the trace's last 63 bits.
    package func takes(traceLow: UInt64) -> Bool {
        if ratio >= 1 { return true }
        return traceLow >> 1 < UInt64(ratio * 0x1p63)
    }

    package func takes(_ parent: TraceContext) -> Bool {
        followsParent ? parent.isSampled : takes(traceLow: parent.traceLow)
    }
}

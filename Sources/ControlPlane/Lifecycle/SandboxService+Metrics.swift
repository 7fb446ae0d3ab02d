import Observability

extension SandboxService {
    /// How many sandboxes there are in each state, and how many creates.
    var samples: [MetricsRegistry.Sample] {
        var counts = Dictionary(uniqueKeysWithValues: SandboxState.allCases.map { ($0, 0) })
        for sandbox in catalog.all { counts[sandbox.status.state, default: 0] += 1 }
        let creates = queue.counts
        return counts.map { state, count in
            .init("sallyport_sandboxes", .gauge, Double(count), [.init("state", state.rawValue.lowercased())])
        }
            + [("running", creates.running), ("waiting", creates.waiting)].map { state, count in
                .init("sallyport_creates", .gauge, Double(count), [.init("state", state)])
            }
    }
}

/// In which order the volumes of a sandbox are mounted, and on what: those of fewer steps first, and one whose path is
/// below another's on a folder of that one.
struct VolumePlan: Hashable, Sendable {
    struct Entry: Hashable, Sendable {
        let volume: SandboxVolume
        /// The entry on whose files it is mounted, and where there; nil if it is on the sandbox's own.
        let parent: Int?
        let below: PathSteps?
    }

    let entries: [Entry]

    init(_ volumes: [SandboxVolume]) {
        // Equal depths stay in the request's order.
        let sorted = volumes.enumerated().sorted {
            let (left, right) = ($0.element.mountPath.steps.steps.count, $1.element.mountPath.steps.steps.count)
            return (left, $0.offset) < (right, $1.offset)
        }.map(\.element)
        var entries: [Entry] = []
        for volume in sorted {
            let path = volume.mountPath.steps
            // The nearest one is the last, since each below another comes after it.
            let parent = entries.lastIndex { path.isWithin($0.volume.mountPath.steps) }
            entries.append(
                Entry(
                    volume: volume, parent: parent,
                    below: parent.map { path.dropFirst(entries[$0].volume.mountPath.steps.steps.count) }))
        }
        self.entries = entries
    }
}

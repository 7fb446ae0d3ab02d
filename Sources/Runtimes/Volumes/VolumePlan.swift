/// In which order the volumes of a sandbox are mounted, and on what: those of fewer steps first, and one whose path is
/// below another's on a folder of that one.
struct VolumePlan: Hashable, Sendable {
    struct Entry: Hashable, Sendable {
        let volume: SandboxVolume
        /// The entry on whose files it is mounted, and where there; nil if it is on the sandbox's own.
        let parent: Int?
        let below: PathSteps?
        /// The entry on the sandbox's own files that it is part of: itself if it has no parent.
        let top: Int
    }

    let entries: [Entry]

    init(_ volumes: [SandboxVolume]) {
        // Equal depths stay in the request's order.
        let sorted = volumes.enumerated().sorted {
            let (left, right) = ($0.element.mountPath.steps.steps.count, $1.element.mountPath.steps.steps.count)
            return (left, $0.offset) < (right, $1.offset)
        }.map(\.element)
        var entries: [Entry] = []
        for (place, volume) in sorted.enumerated() {
            let path = volume.mountPath.steps
            // The nearest one is the last, since each below another comes after it.
            let parent = entries.lastIndex { path.isWithin($0.volume.mountPath.steps) }
            entries.append(
                Entry(
                    volume: volume, parent: parent,
                    below: parent.map { path.dropFirst(entries[$0].volume.mountPath.steps.steps.count) },
                    top: parent.map { entries[$0].top } ?? place))
        }
        self.entries = entries
    }

    /// The entries that the OCI runtime mounts, with what is mounted on them.
    var tops: [(place: Int, volume: SandboxVolume)] {
        entries.enumerated().filter { $0.element.parent == nil }.map { ($0.offset, $0.element.volume) }
    }

    /// The steps of an entry from its top.
    func fromTop(_ entry: Entry) -> PathSteps {
        entry.volume.mountPath.steps.dropFirst(entries[entry.top].volume.mountPath.steps.steps.count)
    }
}

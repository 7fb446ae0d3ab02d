import System

/// Notices when a file becomes another one.
struct FileChanges: Sendable {
    let path: String

    /// How often it is looked at.
    private static let interval = Duration.milliseconds(500)

    /// Calls `changed` at once, since the file may be another one than it was when it was read, and at each change, until the
    /// task is cancelled.
    /// - Parameter changed: false if the file could not be read, so that it is looked at once more.
    func follow(_ changed: @Sendable () -> Bool) async {
        var seen: ChangeStamp?
        while !Task.isCancelled {
            let present = ChangeStamp(path)
            if seen == nil || present != seen, changed() { seen = present }
            try? await Task.sleep(for: Self.interval)
        }
    }
}

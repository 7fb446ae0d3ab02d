import System

/// Notices when a file becomes another one.
struct FileChanges: Sendable {
    let path: String

    /// How often it is looked at.
    private static let interval = Duration.milliseconds(500)

    /// Calls `changed` at once, since the file may be another one than it was when it was read, and at each change, until the
    /// task is cancelled.
    func follow(_ changed: @Sendable () -> Void) async {
        var seen = ChangeStamp(path)
        changed()
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.interval)
            let present = ChangeStamp(path)
            guard present != seen else { continue }
            seen = present
            changed()
        }
    }
}

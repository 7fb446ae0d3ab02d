/// A copy of Tests/FirstState: what the first programs wrote into a state folder, as they wrote it. Records have got fields since, and
/// what is there is read for ever, so none of it is made anew when a record changes; `store.sql` makes their database.
public struct FirstState: Sendable {
    private let folder = TemporaryFolder("first-state")

    public var path: String { folder.path + "/state" }

    public init() throws {
        let tests = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        try Command.run("cp", "-r", "/\(tests)/FirstState", path)
    }
}

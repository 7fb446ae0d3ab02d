import Spelling
import Testing

@testable import Execd

@Suite struct IsolationSettingsTests {
    private func read(_ text: String) throws -> IsolationSettings { try IsolationSettings(Array(text.utf8)) }

    @Test func `what a file leaves out is the contract's`() throws {
        #expect(try read("") == IsolationSettings())
        #expect(IsolationSettings().allowedWritable == ["/workspace", "/mnt", "/media", "/data"])
        #expect(IsolationSettings().diffMaxBytes == 4 << 30)
    }

    @Test func `a list replaces the contract's, and an empty one refuses all`() throws {
        let settings = try read(
            "upper_root = '/var/x'\nupper_max_bytes = 1_000\ndiff_max_bytes = 2\nallowed_writable = ['/a', '/b/c']")
        #expect(settings.upperRoot == "/var/x" && settings.upperMaxBytes == 1000 && settings.diffMaxBytes == 2)
        #expect(settings.allowedWritable == ["/a", "/b/c"])
        #expect(try read("allowed_writable = []").allowedWritable.isEmpty)
    }

    @Test func `what has no effect is told of`() throws {
        let settings = try read("upper_root = '/var/x'\n[landlock]\nenabled = true\n[seccomp]\n[ebpf]\nobserve = false")
        #expect(settings.problems(inFolder: nil).map { $0.prefix(10) } == ["[ebpf] has", "[landlock]"])
        #expect(settings.problems(inFolder: "/var/x").count == 2)
        #expect(settings.problems(inFolder: "/other").first?.hasPrefix("upper_root has no effect") == true)
    }

    @Test(arguments: [
        ("allowed_writeable = []", "did you mean allowed_writable?"), ("allowed_writable = ['x']", "absolute"),
        ("allowed_writable = ['/a/../b']", "absolute"), ("allowed_writable = [1]", "absolute"),
        ("allowed_writable = '/a'", "kind"), ("upper_root = '/'", "two names"), ("upper_root = '/tmp'", "two names"),
        ("upper_root = 'a/b'", "two names"), ("upper_root = '/a//b'", "two names"),
        ("upper_root = '/opt/opensandbox/x'", "two names"), ("upper_root = '/run/x'", "two names"),
        ("upper_max_bytes = -1", "kind"),
        ("diff_max_bytes = 0", "kind"), ("diff_max_bytes = '1'", "kind"), ("[secomp]", "did you mean seccomp?"),
        ("[seccomp]\ndenied = []", "did you mean deny?"), ("x", "line 1"),
    ])
    func `a file that cannot be meant is refused, with the reason`(text: String, word: String) {
        let refusal = #expect(throws: IsolationSettings.Refusal.self) { try read(text) }
        #expect(refusal?.description.contains(word) == true, "\(String(describing: refusal))")
    }

    @Test func `a file that is missing says nothing, and one that cannot be read is refused by its path`() throws {
        #expect(try IsolationSettings.read([:]) == IsolationSettings())
        #expect(try IsolationSettings.read(["EXECD_ISOLATION_CONFIG": "/nonexistent/x"]) == IsolationSettings())
        let refusal = #expect(throws: IsolationSettings.Refusal.self) {
            try IsolationSettings.read(["EXECD_ISOLATION_CONFIG": "/proc"])
        }
        #expect(refusal?.description.hasPrefix("EXECD_ISOLATION_CONFIG: /proc: ") == true)
    }
}

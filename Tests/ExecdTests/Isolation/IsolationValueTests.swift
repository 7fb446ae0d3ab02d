import Spelling
import Testing

@testable import Execd

@Suite struct IsolationValueTests {
    private func decode(_ text: String) throws -> IsolationRequest { try IsolationRequest.decode(Array(text.utf8)) }

    @Test func `what a request leaves out is filled in`() throws {
        let request = try decode(#"{"workspace":{"path":"/workspace"}}"#)
        #expect(request.profile == .strict && request.userMode == .setpriv && request.sharesNetwork)
        #expect(request.overlays == [.init(path: "/workspace", mode: .overlay, persist: true)])
        #expect(request.passthrough == .init(mode: .deny, keys: []))
        #expect(request.user == 0 && request.group == 0 && request.idleTimeout == 0)
        #expect(request.folder == "/workspace")
    }

    @Test func `nulls are as if nothing was said`() throws {
        let request = try decode(
            #"{"profile":null,"workspace":{"path":"/w","mode":null},"overlays":null,"extra_writable":null,"binds":null,"#
                + #""share_net":null,"env_passthrough":null,"uid":null,"gid":null,"uid_mode":null,"idle_timeout_seconds":null}"#
        )
        #expect(request.overlays.count == 1 && request.sharesNetwork)
    }

    @Test func `a group that is not given is the user's`() throws {
        let request = try decode(#"{"workspace":{"path":"/w"},"uid":1000}"#)
        #expect(request.user == 1000 && request.group == 1000)
    }

    @Test func `deeper folders lie over shallower ones`() throws {
        let request = try decode(
            #"{"overlays":[{"path":"/a/b/c","mode":"ro"},{"path":"/d"},{"path":"/a","mode":"rw"},{"path":"/a/b"}]}"#)
        #expect(request.ordered.map(\.path) == ["/d", "/a", "/a/b", "/a/b/c"])
        #expect(request.folder == "/d")
        #expect(try decode(#"{"workspace":{"path":"/a/b"},"overlays":[{"path":"/a"}]}"#).folder == "/a/b")
    }

    @Test(arguments: [
        #"{}"#, #"{"overlays":[]}"#, #"{"workspace":{"path":"relative"}}"#, #"{"workspace":{"path":"/"}}"#,
        #"{"workspace":{"path":"/a/"}}"#, #"{"workspace":{"path":"/a//b"}}"#, #"{"workspace":{"path":"/a/../b"}}"#,
        #"{"workspace":{"path":"/a/./b"}}"#, #"{"workspace":{"path":""}}"#, #"{"workspace":{"path":"/a\u0000b"}}"#,
        #"{"workspace":{"path":"/a","mode":"other"}}"#, #"{"workspace":{"path":"/a"},"profile":"lax"}"#,
        #"{"overlays":[{"path":"/a","mode":"rw","persist":false}]}"#, #"{"overlays":[{"path":"/a"},{"path":"/a"}]}"#,
        #"{"workspace":{"path":"/a"},"overlays":[{"path":"/a"}]}"#, #"{"workspace":{"path":"/a"},"uid":4294967295}"#,
        #"{"workspace":{"path":"/a"},"uid":-1}"#, #"{"workspace":{"path":"/a"},"uid_mode":"other"}"#,
        #"{"workspace":{"path":"/a"},"idle_timeout_seconds":-1}"#, #"{"workspace":{"path":"/proc/x"}}"#,
        #"{"workspace":{"path":"/a"},"env_passthrough":{"mode":"some"}}"#,
        #"{"workspace":{"path":"/opt/opensandbox"}}"#,
        #"{"workspace":{"path":"/a"},"binds":[{"source":"a"}]}"#,
        #"{"workspace":{"path":"/a"},"extra_writable":["/b/.."]}"#,
        #"{"workspace":"/a"}"#, #"[]"#, #"{"#,
    ])
    func `a request that cannot be meant is refused`(_ text: String) {
        #expect(throws: RequestBodyError.self) { try decode(text) }
    }

    @Test func `seventeen folders are one too many`() throws {
        func request(_ count: Int) throws -> IsolationRequest {
            try decode(#"{"overlays":["# + (0..<count).map { #"{"path":"/a\#($0)"}"# }.joined(separator: ",") + "]}")
        }
        #expect(try request(16).overlays.count == 16)
        #expect(throws: RequestBodyError.self) { try request(17) }
    }

    @Test(arguments: [
        #"{"code":""}"#, #"{"code":" \n"}"#, #"{}"#, #"{"code":"a","timeout_seconds":-1}"#,
        #"{"code":"a","timeout_seconds":9223372036854775807}"#, #"{"code":"a","envs":{"a-b":"1"}}"#,
        #"{"code":"a","envs":{"A":"\u0000"}}"#, #"{"code":"a\u0000"}"#,
    ])
    func `a run that cannot be meant is refused`(_ text: String) {
        #expect(throws: RequestBodyError.self) { try IsolatedRunRequest.decode(Array(text.utf8)) }
    }

    @Test func `secrets stay out unless they are named`() {
        let all: [ExactName: String] = [
            "FOO_API_KEY": "1", "my_token": "1", "AWS_REGION": "1", "aliyun_x": "1", "K8S_A": "1", "PLAIN": "1",
            "PATH": "/bin",
            "HOME": "/root", "JUPYTER_TOKEN": "1", "EXECD_ENVS": "1", "EXECD_ACCESS_TOKEN": "1", "TOKENS": "1",
        ]
        func names(_ mode: IsolationRequest.Passthrough.Mode, _ keys: [String]) -> Set<String> {
            Set(SessionVariables.of(all, .init(mode: mode, keys: keys)).keys.map(\.text))
        }
        #expect(names(.deny, []) == ["PLAIN", "PATH", "HOME", "TOKENS"])
        #expect(
            names(.deny, ["PLAIN"]) == [
                "FOO_API_KEY", "my_token", "AWS_REGION", "aliyun_x", "K8S_A", "PATH", "HOME", "TOKENS",
            ])
        #expect(names(.allow, ["PLAIN", "JUPYTER_TOKEN", "EXECD_ENVS"]) == ["PLAIN", "PATH", "HOME"])
        #expect(names(.allow, []) == ["PATH", "HOME"])
    }

    @Test func `answers of a shell are told from anything else`() {
        func answer(_ text: String) -> IsolationDialogue.Answer? { IsolationDialogue.answer(Array(text.utf8)[...]) }
        #expect(answer("run 7 130") == .run(7, code: 130))
        #expect(answer("background a-b 3") == .background("a-b", code: 3))
        for text in ["", "run", "run 7", "run x 1", "run 7 x", "walk 7 1", "run 7 1 2", "run -1 1"] {
            #expect(answer(text) == nil)
        }
    }

    @Test func `a log is cut between characters only while more may come`() {
        let text = Array("aé€😀".utf8)
        for (count, whole) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 6), (7, 6), (8, 6), (9, 6), (10, 10)] {
            #expect(BackgroundRun.wholeCharacters(Array(text.prefix(count))).count == whole, "\(count)")
        }
        #expect(BackgroundRun.wholeCharacters([]) == [])
        #expect(BackgroundRun.wholeCharacters([0x80, 0x80, 0x80, 0x80, 0x80]).count == 5, "no character at all")
    }

    @Test func `the kernel's list of mounts is read with its escapes`() {
        let table = MountTable(
            """
            21 1 0:20 / /proc rw,nosuid - proc proc rw
            22 21 0:20 /sys /proc/sys ro,nosuid shared:1 - proc proc rw
            23 21 0:21 / /proc/a\\040b rw - tmpfs tmpfs rw
            24 1 0:22 / /process rw - tmpfs tmpfs rw
            short line
            """)
        #expect(table.entries.count == 4)
        #expect(table.below("/proc").map(\.path) == ["/proc/sys", "/proc/a b"])
        #expect(table.below("/proc")[0].isReadOnly && table.below("/proc")[0].root == "/sys")
    }

    @Test func `a failure is the same behind a socket`() {
        let failure = SessionFailure(.refused, "what is said of it")
        #expect(SessionFailure(message: failure.message) == failure)
        for text in ["", "failure", "failure x y", "process", "failure refused"] {
            #expect(SessionFailure(message: text) == nil)
        }
    }

    @Test func `a path is inside a folder by whole names`() {
        #expect(FilePath.isInside("/a/b", "/a") && FilePath.isInside("/a", "/a") && FilePath.isInside("/a", "/"))
        #expect(!FilePath.isInside("/ab", "/a") && !FilePath.isInside("/", "/a"))
    }
}

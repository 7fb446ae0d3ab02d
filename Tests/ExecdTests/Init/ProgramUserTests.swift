import Testing

@testable import Execd

@Suite struct ProgramUserTests {
    private static let users = """
        root:x:0:0:root:/root:/bin/sh
        worker:x:1234:4321:a worker:/home/worker:/bin/sh
        twin:x:1234:99:the same number:/home/twin:/bin/sh
        homeless:x:7:8::nowhere:/bin/sh
        broken:x:9
        """
    private static let groups = "root:x:0:\nteam:x:777:worker"

    private func user(_ text: String) -> ProgramUser? { ProgramUser(text, users: Self.users, groups: Self.groups) }

    @Test func `names and numbers are those of the image`() {
        #expect(user("worker") == ProgramUser(user: 1234, group: 4321, home: "/home/worker"))
        #expect(user("twin") == ProgramUser(user: 1234, group: 99, home: "/home/twin"))
        #expect(user("1234") == ProgramUser(user: 1234, group: 4321, home: "/home/worker"))
        #expect(user("worker:team") == ProgramUser(user: 1234, group: 777, home: "/home/worker"))
        #expect(user("worker:5") == ProgramUser(user: 1234, group: 5, home: "/home/worker"))
        #expect(user("5555") == ProgramUser(user: 5555, group: 0, home: nil))
        #expect(user("homeless") == ProgramUser(user: 7, group: 8, home: nil))
        #expect(user("broken") == ProgramUser(user: 9, group: 0, home: nil))
    }

    @Test(arguments: [
        "", ":", "nobody", "worker:", "worker:nogroup", "-1", "4294967295", "0:4294967295", "4294967296", "1234:5:6",
        "worker ",
    ]) func `what is none of them is nobody`(_ text: String) { #expect(user(text) == nil) }

    @Test func `any file and any text are taken without harm`() {
        for file in [
            "", ":", ":::::::", "\n\n", "a:b:c:d:e:f:g:h", "a::4294967295:4294967295:::", "x:x:1:99999999999:::",
        ] {
            for text in ["x", "1", "a:b", "a", ":1"] { _ = ProgramUser(text, users: file, groups: file) }
        }
        #expect(ProgramUser("x", users: "x:x:1:99999999999:g:/h:s", groups: "")?.group == 0)
    }

    @Test func `it is a flag of init`() throws {
        #expect(try Options.parse(["--program-user", "worker:team", "--", "a"]).programUser == "worker:team")
        #expect(throws: Options.OptionError.self) { try Options.parse(["--program-user", "", "--", "a"]) }
        #expect(throws: Options.OptionError.self) { try Options.parse(["--program-user"]) }
    }
}

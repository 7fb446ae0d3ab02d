import Spelling

@testable import Execd

/// Bodies that execd takes, by the decoders that serve.
enum ExecdFuzz {
    /// An image's words for a user, and its two files of names, with NUL between them.
    static func user(_ bytes: UnsafeRawBufferPointer) {
        let texts = bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard texts.count == 3, let user = ProgramUser(texts[0], users: texts[1], groups: texts[2]) else { return }
        promise(user.user != .max && user.group != .max, "the program would stay root")
        promise(user.home.map { $0.hasPrefix("/") } ?? true, "a home that is no path")
    }

    static func execd(_ bytes: UnsafeRawBufferPointer) {
        let body = Array(bytes)
        if let session = try? IsolationRequest.decode(body) {
            promise(
                !session.overlays.isEmpty && session.overlays.count <= IsolationRequest.maxOverlays,
                "no folder, or too many")
            promise(
                session.overlays.allSatisfy { $0.path.hasPrefix("/") && $0.path != "/" && !$0.path.hasSuffix("/") },
                "a path")
            promise(
                Set(session.ordered) == Set(session.overlays) && session.mounts.contains(session.folder), "an order")
        }
        if let command = try? CommandRequest.decode(body) {
            promise(!command.spec(in: CommandEnvironment([:], shell: "/bin/sh")).arguments.isEmpty, "nothing to run")
            promise(command.uid != .max && command.gid != .max, "the user would stay root")
            promise((command.timeout ?? 0) >= 0, "a time limit in the past")
        }
        _ = try? SessionRequest.decode(body)
        if let run = try? SessionRunRequest.decode(body) {
            promise(!run.command.utf8.contains(0), "a byte that ends a text")
            let line = ShellDialogue.line(run: 1, run.command, folder: run.cwd, variables: [:])
            promise(line.hasSuffix("\n"), "a line without an end")
        }
        if let rights = try? RequestBody.decode([ExactName: FileRights].self, from: body) {
            for value in rights.values { _ = try? value.resolved(Accounts(users: .init(""), groups: .init(""))) }
        }
        if let texts = try? RequestBody.decode([ExactName: TextReplacement].self, from: body) {
            for text in texts.values where !text.old.isEmpty {
                let before = Array("a\(text.old)b\(text.old)".utf8)
                let (changed, count) = text.apply(to: before)
                promise(count >= 1, "a text was not found in itself")
                let difference = count * (text.new.utf8.count - text.old.utf8.count)
                promise(changed.count == before.count + difference, "something else was replaced, too")
            }
        }
        range(body)
        start(body)
        settings(body)
    }

    /// The file of settings of isolated sessions.
    private static func settings(_ body: [UInt8]) {
        guard let settings = try? IsolationSettings(body) else { return }
        promise(settings.upperMaxBytes >= 0 && settings.diffMaxBytes > 0, "a limit below nothing")
        promise(settings.allowedWritable.allSatisfy { $0.hasPrefix("/") && !$0.hasSuffix("/") }, "a path")
        promise((settings.upperRoot ?? "/a/b").split(separator: "/").count > 1, "a folder of the system's")
    }

    /// What the start of a sandbox is told: variables, hooks, schedules, flags.
    private static func start(_ body: [UInt8]) {
        let text = String(decoding: body, as: UTF8.self)
        for (name, value) in EnvironmentFile.parse(text, over: ["A": "b"]) {
            promise(!name.text.isEmpty && !name.text.utf8.contains(UInt8(ascii: "=")), "a name that is none")
            promise(!value.utf8.contains(0), "a byte that ends a value")
        }
        if let schedule = Schedule(text) {
            for time in [Int64(0), 1_798_761_600, 4_102_444_800] {
                if let next = schedule.next(after: time) { promise(next > time, "a time that has been") }
            }
        }
        if let duration = GoDuration(text) { promise(duration.nanoseconds >= 0, "a time below zero") }
        if let told = try? InitRequest.decode(body) { promise(told.generation > 0, "a generation that is none") }
        _ = try? LifecycleHooks.decode(body)
        _ = try? LifecycleHooks.decode(file: body)
        _ = try? Options.parse(text.split(separator: " ").map(String.init))
        _ = LoggedTarget.masked(text)
        _ = AccessRule(hash: text)
    }

    private static func range(_ body: [UInt8]) {
        let text = String(decoding: body, as: UTF8.self)
        for size in [0, 1, 1000, Int.max] {
            guard case .part(let part) = ByteRange(header: "bytes=" + text, size: size) else { continue }
            promise(!part.isEmpty && part.lowerBound >= 0 && part.upperBound <= size, "bytes that are not there")
        }
    }
}

import Synchronization

/// The contexts of this execd.
final class CodeContexts: Sendable {
    typealias KernelMaker = @Sendable (KernelLanguage, _ id: String, _ folder: String?) async throws -> any CodeKernel

    /// The most contexts. Each has a process.
    static let maxContexts = 64
    /// Milliseconds without a run after which a context may go when room is needed for another, and after which one that is no
    /// default goes in any case, unless told.
    static let longIdle: Int64 = 30 * 60 * 1000
    /// How often is looked for contexts that go, in milliseconds.
    private static let collection: Int64 = 5000

    private struct State {
        /// In the order of their making.
        var contexts: [CodeContext] = []
        /// Contexts that are being made.
        var reserved = 0
        var defaults: [KernelLanguage: String] = [:]
        var defaultsInMaking: [KernelLanguage: Task<CodeContext, any Error>] = [:]
        var isCollecting = false
        /// When was last looked for contexts that go, and from when on their idle time counts.
        var looked: Int64 = 0, counted: Int64 = 0
    }

    private let longestIdle: Int64
    private let now: @Sendable () -> Int64
    private let makeKernel: KernelMaker
    private let state = Mutex(State())

    /// - Parameters:
    ///   - longestIdle: milliseconds without a run after which a context that is no default is closed; 0 for never.
    ///   - now: milliseconds of a clock that is never set.
    init(
        longestIdle: Int64 = CodeContexts.longIdle, now: @escaping @Sendable () -> Int64 = CodeContext.clock,
        makeKernel: @escaping KernelMaker
    ) {
        (self.longestIdle, self.now, self.makeKernel) = (longestIdle, now, makeKernel)
    }

    subscript(id: String) -> CodeContext? { state.withLock { $0.contexts.first { $0.id == id } } }

    func all(of language: KernelLanguage?) -> [CodeContext] {
        state.withLock { $0.contexts.filter { language == nil || $0.language == language } }
    }

    /// Makes a context.
    /// - Throws: `ExecdError` when there are too many; what the kernel's start throws.
    func create(_ language: KernelLanguage, named name: String, folder: String?) async throws -> CodeContext {
        let (hasRoom, unused) = state.withLock { state in reserve(&state) }
        if let unused { await unused.close() }
        guard hasRoom else {
            throw ExecdError.failed("there are \(Self.maxContexts) contexts already: delete one")
        }
        let id = CommandRunner.identifier()
        do {
            let kernel = try await makeKernel(language, id, folder)
            let context = CodeContext(
                id: id, language: language, languageName: name, folder: folder, kernel: kernel, now: now)
            let begins = state.withLock { state in
                state.reserved -= 1
                state.contexts.append(context)
                guard !state.isCollecting else { return false }
                (state.isCollecting, state.looked) = (true, now())
                return true
            }
            if begins, longestIdle > 0 { Task { await collect() } }
            return context
        } catch {
            state.withLock { $0.reserved -= 1 }
            throw error
        }
    }

    /// Takes a place; where there is none, that of the context that was not used for longest, if that is long.
    private func reserve(_ state: inout State) -> (hasRoom: Bool, unused: CodeContext?) {
        var unused: CodeContext?
        if state.contexts.count + state.reserved >= Self.maxContexts {
            let idle = state.contexts.map { ($0, $0.idleTime ?? 0) }.max { $0.1 < $1.1 }
            guard let (context, _) = idle, context.retire(after: Self.longIdle) else { return (false, nil) }
            remove(context, &state)
            unused = context
        }
        state.reserved += 1
        return (true, unused)
    }

    private func collect() async {
        while true {
            try? await Task.sleep(for: .milliseconds(Self.collection))
            await closeIdle()
            let goesOn = state.withLock { state in
                state.isCollecting = !state.contexts.isEmpty
                return state.isCollecting
            }
            guard goesOn else { return }
        }
    }

    /// Closes contexts that were not used for too long. Default ones stay: whoever runs code in them names none.
    func closeIdle() async {
        guard longestIdle > 0 else { return }
        let idle = state.withLock { state in
            // A sandbox that was paused meanwhile was kept for what is in it.
            let time = now()
            if time - state.looked > 2 * Self.collection { state.counted = time }
            state.looked = time
            let idle = state.contexts.filter {
                state.defaults[$0.language] != $0.id && $0.retire(after: longestIdle, from: state.counted)
            }
            for context in idle { remove(context, &state) }
            return idle
        }
        for context in idle { await context.close() }
    }

    /// The context of runs that name none; made when it is first asked for, once for all who ask meanwhile.
    func standard(_ language: KernelLanguage, folder: String?) async throws -> CodeContext {
        let task: Task<CodeContext, any Error> = state.withLock { state in
            if let id = state.defaults[language], let context = state.contexts.first(where: { $0.id == id }) {
                return Task { context }
            }
            if let making = state.defaultsInMaking[language] { return making }
            let making = Task {
                defer { self.state.withLock { $0.defaultsInMaking[language] = nil } }
                let context = try await self.create(language, named: language.rawValue, folder: folder)
                self.state.withLock { $0.defaults[language] = context.id }
                return context
            }
            state.defaultsInMaking[language] = making
            return making
        }
        return try await task.value
    }

    /// - Returns: false if there is no such context.
    func delete(_ id: String) async -> Bool {
        let context = state.withLock { state in
            let context = state.contexts.first { $0.id == id }
            if let context { remove(context, &state) }
            return context
        }
        await context?.close()
        return context != nil
    }

    private func remove(_ context: CodeContext, _ state: inout State) {
        state.contexts.removeAll { $0 === context }
        if state.defaults[context.language] == context.id { state.defaults[context.language] = nil }
    }
}

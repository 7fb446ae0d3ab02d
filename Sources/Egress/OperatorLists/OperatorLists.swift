import Glibc
import Logging
import NetworkPolicy
import Synchronization
import System

/// The operator's lists, which outrank every policy (docs/egress.md#the-operators-lists): files of one folder, which may
/// change while the guard runs. A node and a sidecar follow them in the same way.
package final class OperatorLists: Sendable {
    private struct State {
        var rules: AlwaysRules
        /// Counts up with the rules, so that each guard knows whether it has these.
        var version = 1
        /// Of the files that were read.
        var taken: [ChangeStamp?]
        /// Of the files at the last look.
        var seen: [ChangeStamp?]
        var problem: String?
        /// Whether the problem may pass without a change of a file: it is looked at again. A mistake in a text may not.
        var mayPass = false
    }

    package let folder: String
    /// Names that are not logged when denied.
    let logSkip: LogSkip
    private let mustExist: Bool
    private let state: Mutex<State>

    /// - Parameters:
    ///   - mustExist: whether a folder that is not there is a mistake; otherwise it stands for empty lists, until it is there once.
    ///   - waits: whether files that somebody may be writing right now are waited for, a second at most.
    package init(folder: String, mustExist: Bool, waits: Bool = true) throws(EgressError) {
        if waits { Self.awaitWriters(folder) }
        let stamps = Self.stamps(folder)
        let (rules, skipped) = try Self.read(folder, mustExist: mustExist)
        self.folder = folder
        // A folder that goes later takes no denial with it.
        self.mustExist = mustExist || Self.exists(folder)
        logSkip = LogSkip(skipped)
        state = Mutex(State(rules: rules, taken: stamps, seen: stamps))
    }

    /// In force, and which of those that were read they are.
    package var current: (rules: AlwaysRules, version: Int) { state.withLock { ($0.rules, $0.version) } }

    /// Why the files of now are not in force; nil where they are.
    package var problem: String? { state.withLock { $0.problem } }

    /// Reads the files if they have changed, and stand still since the last look: one that is half written would deny half of
    /// what it should. A mistake in one of them keeps all as they were, and is told once.
    package func refresh(_ logger: Logger) {
        let present = Self.stamps(folder)
        let isNew = state.withLock { state in
            defer { state.seen = present }
            return present == state.seen && (present != state.taken || state.mayPass)
        }
        guard isNew else { return }
        do throws(EgressError) {
            let (rules, skipped) = try Self.read(folder, mustExist: mustExist)
            // What has changed meanwhile was perhaps read in part.
            guard Self.stamps(folder) == present else { return }
            logSkip.replace(skipped)
            state.withLock { state in
                (state.taken, state.problem, state.mayPass) = (present, nil, false)
                guard state.rules != rules else { return }
                state.rules = rules
                state.version += 1
            }
            logger.info(
                "always lists read",
                metadata: ["denied": "\(rules.denied.count)", "allowed": "\(rules.allowed.count)"])
        } catch {
            guard Self.stamps(folder) == present else { return }
            let isFinal = if case .invalidPolicy = error { true } else { false }
            let isTold = state.withLock { state in
                if isFinal { state.taken = present }
                state.mayPass = !isFinal
                defer { state.problem = "\(error)" }
                return !isFinal && state.problem == "\(error)"
            }
            guard !isTold else { return }
            logger.error(
                "the always lists cannot be used; the previous ones stay in force", metadata: ["error": "\(error)"])
        }
    }

    /// - Throws: `EgressError` with the file, and the line of what is no target.
    package static func read(
        _ folder: String, mustExist: Bool
    ) throws(EgressError) -> (rules: AlwaysRules, skipped: [Target]) {
        guard !mustExist || exists(folder) else {
            throw .storage(path: folder, reason: "there is no such folder")
        }
        func text(_ file: OperatorFile) throws(EgressError) -> String {
            let path = folder + "/" + file.rawValue
            if let bytes = try OperatorFile.read(path) { return String(decoding: bytes, as: UTF8.self) }
            var status = stat()
            guard lstat(path, &status) != 0 else { throw .storage(path: path, reason: "the link leads nowhere") }
            return ""
        }
        do throws(EgressError) {
            return (
                try AlwaysRules(deny: text(.deny), allow: text(.allow)),
                try TargetList.targets(text(.logSkip), file: .logSkip)
            )
        } catch {
            guard case .invalidPolicy(let reason) = error else { throw error }
            throw .invalidPolicy(folder + "/" + reason)
        }
    }

    /// How long a file has to stand still before it is taken for whole, in milliseconds: as long as between two looks.
    private static let stillness = 500

    private static func awaitWriters(_ folder: String) {
        for _ in 0..<20 {
            guard stamps(folder).contains(where: { $0?.isYounger(than: stillness) ?? false }) else { return }
            usleep(50_000)
        }
    }

    /// A folder that was removed while it is mounted here is still there by its path, but has no links any more.
    private static func exists(_ folder: String) -> Bool {
        var status = stat()
        return stat(folder + "/.", &status) == 0 && status.st_nlink > 0
    }

    /// The folder's own stamp is not among them: it changes with every file that an editor puts beside these.
    private static func stamps(_ folder: String) -> [ChangeStamp?] {
        OperatorFile.allCases.map { ChangeStamp(folder + "/" + $0.rawValue) }
    }
}

extension Logger {
    /// Without lines about the names that the operator does not want to hear of.
    package func skipping(_ lists: OperatorLists?) -> Logger {
        guard let lists else { return self }
        var logger = self
        logger.handler = SkippingLogHandler(base: handler, skip: lists.logSkip)
        return logger
    }
}

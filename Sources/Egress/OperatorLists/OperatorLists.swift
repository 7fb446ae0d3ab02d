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
    }

    package let folder: String
    /// Names that are not logged when denied.
    let logSkip: LogSkip
    private let mustExist: Bool
    private let state: Mutex<State>

    /// - Parameter mustExist: whether a folder that is not there is a mistake; otherwise it stands for empty lists.
    package init(folder: String, mustExist: Bool) throws(EgressError) {
        (self.folder, self.mustExist) = (folder, mustExist)
        let stamps = Self.stamps(folder)
        let (rules, skipped) = try Self.read(folder, mustExist: mustExist)
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
            return present == state.seen && present != state.taken
        }
        guard isNew else { return }
        do throws(EgressError) {
            let (rules, skipped) = try Self.read(folder, mustExist: mustExist)
            logSkip.replace(skipped)
            state.withLock { state in
                (state.taken, state.problem) = (present, nil)
                guard state.rules != rules else { return }
                state.rules = rules
                state.version += 1
            }
            logger.notice(
                "always lists read",
                metadata: ["denied": "\(rules.denied.count)", "allowed": "\(rules.allowed.count)"])
        } catch {
            state.withLock { ($0.taken, $0.problem) = (present, "\(error)") }
            logger.error(
                "the always lists cannot be used; the previous ones stay in force", metadata: ["error": "\(error)"])
        }
    }

    /// - Throws: `EgressError` with the file, and the line of what is no target.
    package static func read(
        _ folder: String, mustExist: Bool
    ) throws(EgressError) -> (rules: AlwaysRules, skipped: [Target]) {
        guard !mustExist || ChangeStamp(folder + "/.") != nil else {
            throw .storage(path: folder, reason: "there is no such folder")
        }
        func text(_ file: OperatorFile) throws(EgressError) -> String {
            String(decoding: try OperatorFile.read(folder + "/" + file.rawValue) ?? [], as: UTF8.self)
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

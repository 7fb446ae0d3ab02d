import Logging
import Netfilter
import System

/// What the engine does without being asked.
extension LocalEngine {
    /// The longest time, plus the work itself, that the host is without its rules.
    private static let firewallInterval = Duration.seconds(1)
    /// How often sandboxes' output files are checked.
    private static let outputInterval = Duration.seconds(2)

    func keepUp() {
        Task { [weak self] in
            while true {
                try? await Task.sleep(for: Self.outputInterval)
                guard let self else { return }
                await self.rotateOutput()
            }
        }
        Task { [weak self] in
            while true {
                try? await Task.sleep(for: Self.firewallInterval)
                guard let self else { return }
                await self.restoreFirewall()
            }
        }
    }

    private func restoreFirewall() async {
        await firewallThread.run { [firewall, logger] in firewall.keep(logger) }
    }

    private func rotateOutput() async {
        let (directory, limit) = (configuration.stateDirectory, configuration.disk.log)
        let now = Int64(clamping: SystemClock.wallSeconds())
        await deletions.run {
            for name in ControlGroup.entries(of: directory) where Self.isIdentifier(name) {
                SandboxFolder(path: directory + "/" + name).keepOutput(limit: limit, now: now)
            }
        }
    }

    /// Removes the host's rules; only when no sandbox is left.
    package func uninstall() throws(RuntimeError) { try HostRules.remove(tag: configuration.tag) }
}

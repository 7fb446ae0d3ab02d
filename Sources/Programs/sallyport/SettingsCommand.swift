import ArgumentParser
import ControlPlane

/// `sallyport settings`
struct SettingsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings", abstract: "Print what the configuration may say: keys, values, defaults.")

    @Argument(help: "What the keys begin with, such as egress or egress.budgets; everything when it is left out.")
    var prefix = ""

    func run() throws {
        let page = Settings.page(prefix: prefix)
        guard !page.isEmpty else { throw ValidationError("no key begins with \(prefix.prefix(64))") }
        print(page)
    }
}

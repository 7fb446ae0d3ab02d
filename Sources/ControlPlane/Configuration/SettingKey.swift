import JSON

/// One key of the configuration: its name, allowed values, default and description.
///
/// The reader, its messages, the starter file, docs/configuration.md and `sallyport settings` are generated from this,
/// so that a key is written down only once (docs/adding-a-setting.md).
struct SettingKey: Sendable {
    /// Applies the value: at once, or in the section's `finish` together with other keys.
    typealias Apply = @Sendable (SettingValue, inout Settings) throws(ConfigurationError) -> Void

    /// The name within its section.
    let name: String
    /// The allowed values, as words after "use".
    let values: String
    /// In TOML: the default, or an example if there is no default value.
    let shown: String
    let hasDefault: Bool
    /// One line.
    let summary: String
    /// Whether its value must not appear in messages.
    let isSecret: Bool
    let apply: Apply
    /// Whether a changed value takes effect on SIGHUP (`SettingsReload`).
    private(set) var isLive = false

    /// The same, of which a changed value takes effect in a server that runs. Whoever reads it must then ask anew.
    var live: SettingKey {
        var key = self
        key.isLive = true
        return key
    }

    init(
        _ name: String, _ values: String, default shown: String, _ summary: String, isSecret: Bool = false,
        apply: @escaping Apply = { (_, _) throws(ConfigurationError) in }
    ) {
        (self.name, self.values, self.shown, hasDefault) = (name, values, shown, true)
        (self.summary, self.isSecret, self.apply) = (summary, isSecret, apply)
    }

    init(
        _ name: String, _ values: String, example shown: String, _ summary: String, isSecret: Bool = false,
        apply: @escaping Apply = { (_, _) throws(ConfigurationError) in }
    ) {
        (self.name, self.values, self.shown, hasDefault) = (name, values, shown, false)
        (self.summary, self.isSecret, self.apply) = (summary, isSecret, apply)
    }

    // MARK: The usual kinds. Defaults are taken from fresh settings.

    typealias Place<Value> = WritableKeyPath<Settings, Value> & Sendable

    static func integer(
        _ name: String, _ range: ClosedRange<Int>, _ place: any Place<Int>, _ summary: String, advice: String? = nil
    ) -> SettingKey {
        SettingKey(
            name, advice ?? "\(range.lowerBound) to \(range.upperBound)", default: "\(Settings()[keyPath: place])",
            summary
        ) { (value, settings) throws(ConfigurationError) in settings[keyPath: place] = try value.integer(in: range) }
    }

    static func flag(_ name: String, _ place: any Place<Bool>, _ summary: String) -> SettingKey {
        SettingKey(name, "true or false", default: "\(Settings()[keyPath: place])", summary) {
            (value, settings) throws(ConfigurationError) in settings[keyPath: place] = try value.flag()
        }
    }

    static func text(
        _ name: String, _ values: String, _ place: any Place<String>, _ summary: String
    ) -> SettingKey {
        SettingKey(name, values, default: "\"\(Settings()[keyPath: place])\"", summary) {
            (value, settings) throws(ConfigurationError) in settings[keyPath: place] = try value.text()
        }
    }

    /// An optional text; "" counts as absent.
    static func optionalText(
        _ name: String, _ values: String, _ place: any Place<String?>, example: String = "", _ summary: String
    ) -> SettingKey {
        SettingKey(name, values, example: "\"\(example)\"", summary) { (value, settings) throws(ConfigurationError) in
            settings[keyPath: place] = try value.textOrNothing()
        }
    }

    static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ place: any Place<Choice>, _ summary: String
    ) -> SettingKey {
        let words = Choice.allCases.map(\.rawValue)
        return SettingKey(
            name, words.dropLast().joined(separator: ", ") + " or " + words.last!,
            default: "\"\(Settings()[keyPath: place].rawValue)\"", summary
        ) { (value, settings) throws(ConfigurationError) in
            settings[keyPath: place] = try value.choice(of: Choice.self)
        }
    }
}

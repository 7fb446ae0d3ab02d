/// Programs that tests write and start.
public enum Script {
    /// Another process writes the file. Written here, it could not be started at times ("Text file busy"): a child that some other test
    /// starts at that moment has our descriptor, which may write to it, until it begins its own program.
    public static func write(_ text: String, to path: String) throws {
        try Command.run(
            "sh", "-c", #"printf %s "$2" >"$1.new" && chmod 755 "$1.new" && mv "$1.new" "$1""#, "sh", path, text)
    }
}

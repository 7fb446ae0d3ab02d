/// The program that runs a context's Python code, and keeps its variables, where the image has no Jupyter.
///
/// It is given to the interpreter as an argument, so that it needs no file. Standard input is its control channel, which it
/// moves out of the way of the code and of its children; 1 and 2 stay what they are, so that whatever prints, in whatever
/// language, is heard.
enum PythonDriver {
    static let script = #"""
        def _drive():
            import sys
            # A file of the folder must not stand in for what the driver imports.
            sys.path[:] = [path for path in sys.path if path]
            import ast, base64, builtins, fcntl, json, linecache, os, signal, struct, termios, threading, time, traceback
            sys.path.insert(0, "")
            main = sys.modules["__main__"].__dict__
            channel = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 100)
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            sys.stdin = open(0, "r", closefd=False)
            for stream in (sys.stdout, sys.stderr):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
            outputs = (sys.stdout, sys.stderr)
            try:
                import ctypes
                library = ctypes.CDLL(None)
            except (ImportError, OSError): library = None
            process, lock = os.getpid(), threading.RLock()
            most = 6 << 20

            class State:
                run = count = 0
                listens = pending = False
                loop = None
            state = State()

            def on_interrupt(number, frame):
                if state.listens: raise KeyboardInterrupt
                state.pending = True
            signal.signal(signal.SIGINT, on_interrupt)

            def flush():
                for stream in (sys.stdout, sys.stderr) + outputs:
                    try: stream.flush()
                    except Exception: pass
                if library is not None: library.fflush(None)

            def plain(text): return str(text).encode("utf-8", "replace").decode("utf-8")

            def send(message):
                # Not to be torn by an interrupt: half a line would spoil the next.
                listened, state.listens = state.listens, False
                try:
                    with lock:
                        rest = memoryview(json.dumps(message).encode() + b"\n")
                        while rest: rest = rest[os.write(channel, rest):]
                finally:
                    state.listens = listened
                if listened and state.pending:
                    state.pending = False
                    raise KeyboardInterrupt

            def unread():
                try: return struct.unpack("i", fcntl.ioctl(channel, termios.TIOCOUTQ, bytes(4)))[0]
                except OSError: return 0

            methods = (
                ("_repr_html_", "text/html"), ("_repr_markdown_", "text/markdown"), ("_repr_latex_", "text/latex"),
                ("_repr_svg_", "image/svg+xml"), ("_repr_png_", "image/png"), ("_repr_jpeg_", "image/jpeg"),
                ("_repr_pdf_", "application/pdf"), ("_repr_json_", "application/json"),
                ("_repr_javascript_", "application/javascript"),
            )

            def encoded(value):
                if isinstance(value, (bytes, bytearray)): return base64.b64encode(value).decode()
                return plain(value) if isinstance(value, str) else value

            def bundle(value):
                data = {}
                if not isinstance(value, type):
                    for name, kind in (("_repr_mimebundle_", None),) + methods:
                        method = getattr(value, name, None)
                        if not callable(method): continue
                        try: found = method(include=None, exclude=None) if kind is None else method()
                        except Exception:
                            traceback.print_exc()
                            continue
                        if isinstance(found, tuple) and found: found = found[0]
                        if found is None: continue
                        if kind is not None: data.setdefault(kind, encoded(found))
                        elif isinstance(found, dict):
                            for key in found: data[plain(key)] = encoded(found[key])
                if "text/plain" not in data: data["text/plain"] = plain(repr(value))
                small = {}
                for kind, found in data.items():
                    try: size = len(found) if isinstance(found, str) else len(json.dumps(found))
                    except (TypeError, ValueError): found, size = plain(found), len(plain(found))
                    if size > most:
                        note = "[" + kind + " is too large to be sent]"
                        if kind != "text/plain": continue
                        found = found[:most // 8] + note
                    small[kind] = found
                return small

            def show(data, **more):
                if os.getpid() != process: return
                flush()
                send({"run": state.run, "data": data, **more})
                # What is printed next comes after it only if it has been read by then.
                pause = 0.00005
                while unread():
                    time.sleep(pause)
                    pause = min(2 * pause, 0.01)

            def display(*values, raw=False, **ignored):
                for value in values: show({plain(k): encoded(value[k]) for k in value} if raw else bundle(value))

            def refuse(prompt=""):
                raise EOFError("input() has nothing to read from: a code context has no terminal")

            builtins.display, builtins.input = display, refuse

            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

            def finished(code):
                value = eval(code, main)
                if not code.co_flags & 0x80: return value
                import asyncio
                if state.loop is None or state.loop.is_closed():
                    state.loop = asyncio.new_event_loop()
                    asyncio.set_event_loop(state.loop)
                return state.loop.run_until_complete(value)

            def execute(source):
                name = "<cell %d>" % state.count
                linecache.cache[name] = (len(source), None, source.splitlines(True), name)
                tree, last = compile(source, name, "exec", ast.PyCF_ONLY_AST | flags, True), None
                if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
                    last = ast.Expression(tree.body.pop().value)
                finished(compile(tree, name, "exec", flags, True))
                if last is None: return
                value = finished(compile(last, name, "eval", flags, True))
                if value is None: return
                main["_"] = value
                show(bundle(value), count=state.count)

            own = (lambda: 0).__code__.co_filename

            def described(error):
                trace = error.__traceback__
                while trace is not None and trace.tb_frame.f_code.co_filename == own: trace = trace.tb_next
                try: lines = traceback.format_exception(type(error), error, trace)
                except Exception: lines = [type(error).__name__]
                try: value = plain(error)
                except Exception: value = ""
                return {
                    "ename": plain(type(error).__name__), "evalue": value[:65536],
                    "traceback": [plain(line).rstrip("\n")[:4096] for line in lines[-256:]],
                }

            def attempt(source):
                state.pending = False
                try:
                    try:
                        state.listens = True
                        execute(source)
                    finally:
                        state.listens = False
                except BaseException as error:
                    state.listens = False
                    return described(error)

            def requests():
                rest = b""
                while True:
                    while b"\n" not in rest:
                        part = os.read(channel, 1 << 20)
                        if not part: return
                        rest += part
                    line, rest = rest.split(b"\n", 1)
                    yield json.loads(line)

            send({"ready": True})
            for request in requests():
                os.environ.update(request["variables"])
                state.run, state.count = request["run"], state.count + 1
                error = attempt(request["code"])
                # A child that the code forked has come to its end, not to the next run.
                if os.getpid() != process:
                    flush()
                    os._exit(0 if error is None else 1)
                flush()
                send({"run": state.run, "count": state.count, "ended": True, **({} if error is None else {"error": error})})

        globals().pop("_drive")()
        """#
}

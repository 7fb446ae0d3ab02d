"""The official MCP server over stdio, the happy path of its tools."""

import asyncio
import json
import pathlib
import sys

from support.server import IMAGE

PROGRAM = str(pathlib.Path(sys.executable).with_name("opensandbox-mcp"))


def run(server, body, *flags):
    """Runs `body` with a connected client; `body` gets a function that calls a tool."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    async def connected():
        program = StdioServerParameters(
            command=PROGRAM, args=["--transport", "stdio", *flags], env=server.environment())
        async with stdio_client(program) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()

            async def call(tool, **arguments):
                result = await session.call_tool(tool, arguments)
                failed = getattr(result, "isError", None) or getattr(result, "is_error", None)
                text = "".join(getattr(part, "text", "") for part in result.content)
                assert not failed, f"{tool}: {text}"
                return text

            await body(session, call)

    asyncio.run(asyncio.wait_for(connected(), 60))


def test_every_tool_does_its_work(server):
    used = set()

    async def tour(session, call):
        async def tool(name, **arguments):
            used.add(name)
            return await call(name, **arguments)

        listed = {tool.name for tool in (await session.list_tools()).tools}
        made = json.loads(await tool("sandbox_create", image=IMAGE))
        box = made.get("sandbox_id") or made["id"]
        server.seen.add(box)
        try:
            assert box in await tool("sandbox_get_info", sandbox_id=box)
            assert box in await tool("sandbox_list")
            await tool("sandbox_connect", sandbox_id=box)
            await tool("sandbox_healthcheck", sandbox_id=box)
            assert "cpu" in await tool("sandbox_get_metrics", sandbox_id=box)
            assert "127.0.0.1" in await tool("sandbox_get_endpoint", sandbox_id=box, port=8000)
            await tool("sandbox_renew", sandbox_id=box, timeout_seconds=900)
            assert "hello" in await tool("command_run", sandbox_id=box, command="echo hello")
            assert "3" in await tool("command_run", sandbox_id=box, command="exit 3")
            started = json.loads(await tool("command_run", sandbox_id=box, command="sleep 1000", background=True))
            await tool("command_interrupt", sandbox_id=box, execution_id=started.get("execution_id") or started["id"])
            await tool("file_create_directories", sandbox_id=box, entries=[{"path": "/tmp/d"}])
            await tool("file_write", sandbox_id=box, path="/tmp/d/note", content="hello there")
            await tool("file_replace_contents", sandbox_id=box, entries=[
                {"path": "/tmp/d/note", "old_content": "there", "new_content": "you"}])
            assert "hello you" in await tool("file_read", sandbox_id=box, path="/tmp/d/note")
            assert "/tmp/d/note" in await tool("file_search", sandbox_id=box, path="/tmp/d", pattern="no*")
            await tool("file_move", sandbox_id=box, entries=[{"src": "/tmp/d/note", "dest": "/tmp/d/moved"}])
            await tool("file_delete", sandbox_id=box, paths=["/tmp/d/moved"])
            await tool("file_delete_directories", sandbox_id=box, paths=["/tmp/d"])
        finally:
            await tool("sandbox_kill", sandbox_id=box)
        assert box not in server.ids()
        assert listed == used, listed ^ used

    run(server, tour)

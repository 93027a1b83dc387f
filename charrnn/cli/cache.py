"""charrnn cache: list or delete the long texts that are kept encoded."""

import click

from charrnn.cli.options import GroupedCommand, grouped, note

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@_options("--clear", is_flag=True, help="Delete all texts in the cache.")
def command(clear: bool) -> None:
    """List or delete the long texts that are kept encoded.

    A text of more than 64 MB is encoded once, into a file of the cache, and read from
    there. The cache can be deleted at any time: the next training encodes the text
    again. The environment variable CHARRNN_CACHE names another folder for it.
    """
    from charrnn.cli.format import file_size, table
    from charrnn.text import cache
    from charrnn.text.streams import printable

    folder = cache.cache_folder()
    if clear:
        freed, kept = cache.clear()
        in_use = f"; {kept} texts are in use, and were kept" if kept else ""
        note(f"deleted {file_size(freed)} in {printable(str(folder))}{in_use}")
        return
    entries = cache.entries()
    rows = [("text", "characters", "size", "file")]
    for entry in entries:
        first = entry.stamps[0][0] if entry.stamps else "-"
        more = f" and {len(entry.stamps) - 1} more" if len(entry.stamps) > 1 else ""
        rows.append(
            (
                printable(entry.info.name),
                f"{entry.info.characters:,}",
                file_size(entry.size),
                printable(first) + more,
            )
        )
    if entries:
        click.echo(table(rows, right=(1, 2)))
    total = sum(entry.size for entry in entries)
    note(f"{len(entries)} texts, {file_size(total)} in {printable(str(folder))}")

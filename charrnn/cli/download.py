"""charrnn download: download a corpus by name, or your own text by address."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import click

from charrnn.cli.options import GroupedCommand, grouped

_options = grouped("Options")


@click.command("download", cls=GroupedCommand)
@click.argument("name", required=False)
@_options(
    "--url", metavar="URL", help="Download a text from this address instead of NAME."
)
@_options("--sha256", metavar="HEX", help="Expected SHA-256 of the text at --url.")
@_options(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    default_text="data",
    help="Folder for downloaded texts.",
)
@_options(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default_text="its own name in --data-dir",
    help="Where to save the text at --url.",
)
@_options(
    "--force", is_flag=True, help="Replace an existing file with different contents."
)
@_options(
    "--list", "list_all", is_flag=True, help="List the corpora and download nothing."
)
@_options("--quiet", is_flag=True, help="Show no progress.")
def command(
    name: str | None,
    url: str | None,
    sha256: str | None,
    data_dir: Path,
    out: Path | None,
    force: bool,
    list_all: bool,
    quiet: bool,
) -> None:
    """Download a text and print its path.

    NAME is one of the corpora that --list shows; by default it is tinyshakespeare. A
    file that already exists is not downloaded again, and is not replaced if its
    contents differ (see --force). Proxies and certificates are read from the
    environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE).
    """
    _check_usage(name, url, sha256, out, list_all)
    # Imported here, because they load requests, and `charrnn --help` must start fast.
    from charrnn.text.download.address import check_address
    from charrnn.text.download.place import sha256_of
    from charrnn.text.download.registry import CORPORA, download, download_url

    if list_all:
        for source in CORPORA.values():
            about = f"{source.licence:<30}{source.description}"
            click.echo(f"{source.name:<17}{source.size:>10,} bytes  {about}")
    elif url is None:
        name = name or "tinyshakespeare"
        click.echo(download(name, data_dir, force=force, quiet=quiet))
    else:
        check_address(url)
        target = out or data_dir / _name_in(url)
        path = download_url(url, target, sha256=sha256, force=force, quiet=quiet)
        if sha256 is None:
            pin = f"--sha256 {sha256_of(path)}"
            click.echo(f"The text was not verified; next time, add {pin}", err=True)
        click.echo(path)


def _check_usage(
    name: str | None,
    url: str | None,
    sha256: str | None,
    out: Path | None,
    list_all: bool,
) -> None:
    if list_all and (name or url):
        raise click.UsageError("--list downloads nothing; leave out NAME and --url")
    if name and url:
        raise click.UsageError("NAME and --url exclude each other; give one")
    if url is None and (sha256 or out):
        raise click.UsageError("--sha256 and --out need --url")


def _name_in(url: str) -> str:
    """Return the file name at the end of a well-formed address."""
    from charrnn.text.download.address import without_login

    name = PurePosixPath(unquote(urlsplit(url).path)).name
    # Not a hidden file, a drive, or a path of another system.
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise click.UsageError(
            f"{without_login(url)!r} does not end in a file name; give one with --out"
        )
    return name

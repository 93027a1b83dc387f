"""charrnn download: fetch a corpus by name, or a text of one's own by address."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import click


@click.command("download")
@click.argument("name", required=False)
@click.option("--url", help="Fetch a text of your own from this address instead.")
@click.option("--sha256", metavar="HEX", help="What the text at --url must hash to.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Where corpora go.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the text at --url goes; by default under its own name in --data-dir.",
)
@click.option("--force", is_flag=True, help="Replace a file that has another content.")
@click.option("--list", "list_all", is_flag=True, help="List the corpora, fetch none.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
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
    """Fetch the corpus NAME (default: tinyshakespeare) and print its path.

    A file that is there and right is not fetched again; one that is there and different
    is left alone. Proxies and certificates come from the environment (HTTPS_PROXY,
    REQUESTS_CA_BUNDLE).
    """
    _check_usage(name, url, sha256, out, list_all)
    # Here, not above: they bring requests along, which 'charrnn --help' need not await.
    from charrnn.text.download.http import sha256_of
    from charrnn.text.download.registry import CORPORA, download, download_url

    if list_all:
        for source in CORPORA.values():
            about = f"{source.licence:<30}{source.what}"
            click.echo(f"{source.name:<17}{source.size:>10,} bytes  {about}")
    elif url is None:
        name = name or "tinyshakespeare"
        click.echo(download(name, data_dir, force=force, quiet=quiet))
    else:
        target = out or data_dir / _name_in(url)
        path = download_url(url, target, sha256=sha256, force=force, quiet=quiet)
        if sha256 is None:
            pin = f"--sha256 {sha256_of(path)}"
            click.echo(f"Nothing to check it against; next time: {pin}", err=True)
        click.echo(path)


def _check_usage(
    name: str | None,
    url: str | None,
    sha256: str | None,
    out: Path | None,
    list_all: bool,
) -> None:
    if list_all and (name or url):
        raise click.UsageError("--list fetches nothing; leave out NAME and --url.")
    if name and url:
        raise click.UsageError("NAME and --url are two ways to say what; give one.")
    if url is None and (sha256 or out):
        raise click.UsageError("--sha256 and --out go with --url.")


def _name_in(url: str) -> str:
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError as error:
        raise click.UsageError(f"{url!r} is no address ({error}).") from None
    # No hidden file, no drive, no separator of another system.
    if not re.fullmatch(r"\w[\w. -]*", name):
        raise click.UsageError(f"{url!r} ends in no file name; say one with --out.")
    return name

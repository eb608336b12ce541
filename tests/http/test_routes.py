"""Which endpoint a path means."""

from dovetail.plugins.http.routes import Routes


def routes() -> Routes[str]:
    made: Routes[str] = Routes()
    for path in ("/", "/a", "/a/{id}", "/a/me", "/a/{id}/b", "/f/{path:path}"):
        made.add("GET", path, path)
    made.add("POST", "/a/me", "make")
    made.add("POST", "/a/{id}/c", "do")
    return made


def test_a_plain_part_comes_before_a_name_in_its_place() -> None:
    assert routes().find("/a/me") == ({"GET": "/a/me", "POST": "make"}, {})
    assert routes().find("/a/you") == ({"GET": "/a/{id}"}, {"id": "you"})


def test_what_has_no_plain_part_there_is_found_by_its_name() -> None:
    assert routes().find("/a/me/b") == ({"GET": "/a/{id}/b"}, {"id": "me"})


def test_a_last_part_takes_what_follows_with_its_slashes() -> None:
    for path in ("x", "x/y", "x//y/", ""):
        assert routes().find(f"/f/{path}") == (
            {"GET": "/f/{path:path}"},
            {"path": path},
        )


def test_there_is_nothing_at_half_a_path_or_beyond_one() -> None:
    for path in ("", "/b", "/a/", "/a/x/", "/a//b", "/f", "/a/me/b/", "a", "//"):
        assert routes().find(path) is None

"""Families that training does not draw: those that choose the weights, and those of the held-out lines."""

from __future__ import annotations

from .listing import package

#: Families that validate both parts of a training.
CHOSEN_BY = (
    package(
        "fonts-crosextra-caladea 20200211-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/crosextra",
        "Caladea-Regular.ttf f1e899278b7b4491aba5b6a8253c4b04c050cc59b21865be5c37559a775153cd",
        "Caladea-Italic.ttf 4359a8e24f748b6447b1ff6d7a174febe70961d29f8bb8634b56dacd740a3deb",
    ),
    package(
        "fonts-cantarell 0.303.1-1",
        "OFL-1.1",
        "usr/share/fonts/opentype/cantarell",
        "Cantarell-Regular.otf c4d47d7fbd61863265a39e4944331178337fb0d5d93b45a70233180b6b7df260",
        "Cantarell-Bold.otf 027924588c05e5fb38717dee6e50562bcc2a89c21e713bb2434a7f454d0c4fa4",
    ),
)

#: Families that validate the second part beside them.
CHOSEN_BY_LATER = (
    package(
        "fonts-sil-gentium-basic 1.102-1.1",
        "OFL-1.1",
        "usr/share/fonts/truetype/gentium-basic",
        "GenBasR.ttf f0248c5a6d76dca62c639fdfdde97f9ae60c05c96bec03925d522531d7c0ca37",
        "GenBasI.ttf 191de1e709a691f1134775539dee8b2167baef3ee411744b5cdf3b43ce18707a",
    ),
    package(
        "fonts-lindenhill 1.2-6",
        "MIT",
        "usr/share/fonts/truetype/lindenhill",
        "LindenHill.otf 6c04ef41bca0d1b06e722e65756b9e1d9087b69f99fc6996f31b8ea7a58bc57a",
        "LindenHill-Italic.otf 23ae61ff30ecd53e36566e41ef5929657a6cd23b06e4fbbaebc0970feec3e207",
    ),
    package(
        "fonts-go 0~20170330-1",
        "BSD-3-Clause",
        "usr/share/fonts/fonts-go",
        "Go-Regular.ttf dd02d2f04dbc9f6329f3777b999fd3985f70b8f69b7c8aa522db3ec1fef9ceb2",
        "Go-Mono.ttf 19ecaf9dab2b499c62d2b586a48995789e6a862d39f0f79d3e96214792aef41d",
    ),
)

#: Families of the held-out lines.
UNSEEN = (
    package(
        "fonts-cabin 1.5-3",
        "OFL-1.1",
        "usr/share/fonts/opentype/cabin",
        "Cabin-Regular.otf 28b2901516089b2bf9d3c2b3dd86a1c875de7f3997bc4ebf4a651a8150aa49dc",
        "Cabin-Italic.otf b9ec8445102fb15bd1eb5c10d2c0c4049154bcf60fcf2527d0bf06362c9f6e26",
    ),
    package(
        "fonts-ebgaramond 0.016+git20210310.42d4f9f2-1",
        "OFL-1.1",
        "usr/share/fonts/opentype/ebgaramond",
        "EBGaramond12-Regular.otf 4ee3bdb3a6618e74ac13a7b2c0a5079fa949be94a25736008ddb9f8b2e492963",
        "EBGaramond12-Italic.otf ce6bf781c71358408102ebd62557ae11852f122364666bc034b2e70dcc972790",
    ),
    package(
        "fonts-vollkorn 4.105-2",
        "OFL-1.1",
        "usr/share/fonts/truetype/vollkorn",
        "Vollkorn-Regular.ttf 33c0e4742dbf693d8f6cda114c02bcf213c0edfb18f0350e483e9354bf9f0c9b",
        "Vollkorn-Bold.ttf e905eac2b4b6286bafe2c403656665ed455c899ba4e2de6a1fdfaa1d1a78eb0c",
    ),
    package(
        "fonts-jetbrains-mono 2.242+ds-3",
        "Apache-2.0",
        "usr/share/fonts/truetype/jetbrains-mono",
        "JetBrainsMono-Regular.ttf a3014fb90ae8ddfbdfc778de75f95b49a857947fde5335ab3f50b6d56eb517be",
    ),
    package(
        "fonts-courier-prime 0+git20190115-3",
        "OFL-1.1",
        "usr/share/fonts/opentype/courier-prime",
        "Courier Prime.otf 26bb2ce38aa96cdc76077fbd64017beb3adc8177f84ec1e6015831d038bc0585",
    ),
    package(
        "fonts-karla 20201218-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/karla",
        "Karla-Regular.otf be5fbf55f7409ad485ddb316c95fc0113f1ebc280924c90809d6988f9018e65a",
        "Karla-Bold.otf 7d871fac4800a919f4487271ed029fbc4d5d5ffde0702a7e1c8627fb5a5ab873",
    ),
    package(
        "fonts-quattrocento 1.1-2.1",
        "OFL-1.1",
        "usr/share/fonts/opentype/quattrocento",
        "Quattrocento-Regular.otf 7014c022b20092e59b0bd315d57bd3c9c2acdae451da44a28e756f941184ea57",
    ),
    package(
        "fonts-play 1.002+20150307.1-0.1",
        "OFL-1.1",
        "usr/share/fonts/truetype/play",
        "Play-Regular.ttf a16d8a926b82d5391cb041f928ac8a1597fc713e9bbb65e09f923b4990b58b22",
    ),
    package(
        "fonts-firacode 6.2-2",
        "OFL-1.1",
        "usr/share/fonts/truetype/firacode",
        "FiraCode-Regular.ttf bb7f3fc4bd68bbbb16b3bf204bc96d9ba7b4a1a6fc221bba49e2b2a03390e76c",
    ),
    package(
        "fonts-oldstandard 2.2really-4",
        "OFL-1.0",
        "usr/share/fonts/truetype/fonts-oldstandard",
        "OldStandard-Regular.ttf 74916923e4f0c26a88d37de10e3b2f50ab26a8c6c369430f55e0574df8d713a5",
        "OldStandard-Italic.ttf b49b08875736e850758def3405c4f14ef1488da005dfc4c2bc1ebb1873e09e47",
    ),
)

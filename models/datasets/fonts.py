"""Free fonts that Debian packages, in three groups of whole families: to learn from, to choose by, and never seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .packages import Package, find

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _package(exact: str, licence: str, folder: str, *hashed: str) -> Package:
    """A package of a name and a version; its files below a folder, each with its hash."""
    name, version = exact.split()
    pairs = (one.rsplit(" ", 1) for one in hashed)
    files = {f"{folder}/{file}": value for file, value in pairs}
    return Package(kind="deb", name=name, version=version, licence=licence, files=files)


#: Families whose text is drawn for training. What derives from one of them is here too, such as Carlito of Lato.
LEARNT = (
    _package(
        "fonts-dejavu-core 2.37-6",
        "Bitstream Vera",
        "usr/share/fonts/truetype/dejavu",
        "DejaVuSans.ttf abdc775b21b1bc470d50c97e790d276f2054b7504e56e5bd3e64f48d68582322",
        "DejaVuSans-Bold.ttf 0d977336a6d5fba34eab8e3199eb218327161b5143749f802982c2bc34df0c96",
        "DejaVuSansMono.ttf 0f5db4f1749979d961019838b160bec74abdf7f9eca69553fe1aa856bbff49a4",
        "DejaVuSerif.ttf 13e61509f5c81d7c3132810f4f903e3523df89c802bf6e0674621e8f659cdfe1",
        "DejaVuSerif-Bold.ttf e2fd85eba2de65ac270d1cdb1685e252eb827f600850cf62af2d20c41b22e945",
    ),
    _package(
        "fonts-dejavu-extra 2.37-6",
        "Bitstream Vera",
        "usr/share/fonts/truetype/dejavu",
        "DejaVuSansCondensed.ttf 2d8aa290adcf1ebcbb35f63e57cf32941b012eaab4b65096b904112cf3bac972",
        "DejaVuSerif-Italic.ttf 889a2b9daff9f091f7cf1ff6c88e5c1a5b55b3afb221571393ccb71ec9301ec9",
        "DejaVuSans-Oblique.ttf eef1a593cc0a4654f147fd1aa9a11e7d327eb8be6f3a35099182db6aeb5d28fe",
    ),
    _package(
        "fonts-liberation2 2.1.5-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/liberation2",
        "LiberationSans-Regular.ttf 8d91388f1d3604b3b8ae0e3ee2d140e50cd6122f9214514f4aca772540a4076d",
        "LiberationSans-Bold.ttf ba0e0dc3f7aca5b0afbc31e800531ee43be3aa79ae35b2ef1f6470a9547765c4",
        "LiberationSans-Italic.ttf 01f559e5c501d3d5777647c6a92b3ff37a4523bcf4f3b6e97ae052af567618b1",
        "LiberationSerif-Regular.ttf 29d12439831b7f59194efec85872f24f54eff05738933f9a860220d2abff88ba",
        "LiberationSerif-Italic.ttf c1830c433ab41379f1139fac388989d37c9f08c81e1bd643efdcc7946db30753",
        "LiberationSerif-Bold.ttf 446a4421f297698427170fd7db20e59169a4188baaaf940e9bea58af6341a723",
        "LiberationMono-Regular.ttf 6b3809450cf6253b36d157198dc15004a5fbade9abad5543c377feb7bb29139c",
    ),
    _package(
        "fonts-roboto-unhinted 2:0~20170802-3",
        "Apache-2.0",
        "usr/share/fonts/truetype/roboto/unhinted",
        "RobotoTTF/Roboto-Regular.ttf 797e35f7f5d6020a5c6ea13b42ecd668bcfb3bbc4baa0e74773527e5b6cb3174",
        "RobotoTTF/Roboto-Light.ttf e5c6b2b3cad15fd7dd820970eb859635d75bb2155b1a70f78a0668f8ba6d6eef",
        "RobotoTTF/Roboto-Bold.ttf 36f3709dea3e3ce3c6aedc058079e55980825f898f1e901d091c73c40de8bab1",
        "RobotoTTF/Roboto-Italic.ttf 5cd9337020d0b1593bae42dcca5cfc0fb86f5806ef469d66d09eae1e56ce346b",
        "RobotoCondensed-Regular.ttf 936069d5e46da383bff37b629a73e0bfb8b8ac7bc54cfb927fb700f6a890e9aa",
    ),
    _package(
        "fonts-lato 2.0-2.1",
        "OFL-1.1",
        "usr/share/fonts/truetype/lato",
        "Lato-Regular.ttf 0ad460bd756454f8485609747b25c5644a54d307a65daabbb24c646c112ed541",
        "Lato-Bold.ttf e0b1c4de011de8dd077cf21f97919fc31158eb290ee1176cbae06d500a6304bc",
        "Lato-Italic.ttf bbc138d69289c5604474166e150d39995770ca98ffb9df02adb68666ec36cc37",
        "Lato-Light.ttf ce27719f469f86ee1a0bbfd60c9ce88951654e104a1dcf8e22d2fa7bb6c5a234",
    ),
    _package(
        "fonts-crosextra-carlito 20220224-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/crosextra",
        "Carlito-Regular.ttf b4ff23ba370cc95a3c349336b73f9c28514a1371210f89832efc85c4b1ea7131",
        "Carlito-Italic.ttf 718a0663864d37a4868220a19b9668a5fe10a46197f6df367b4c2c30c04c026c",
    ),
    _package(
        "fonts-open-sans 1.11-2",
        "Apache-2.0",
        "usr/share/fonts/truetype/open-sans",
        "OpenSans-Regular.ttf e64e508b2aa2880f907e470c4550980ec4c0694d103a43f36150ac3f93189bee",
        "OpenSans-Semibold.ttf aa3b0ef53db12e3d45094030cac0e69d384e44cc5978643dd4390041cad546e2",
        "OpenSans-Italic.ttf a54dc8488f8193bf30c3820cf6f261f911f9d328d699e1a1b8042641554cec70",
        "OpenSans-CondBold.ttf a859a438018739aee16c306586d91a453c208ee500c827d9e9aa063155c8a6e8",
    ),
    _package(
        "fonts-inconsolata 001.010-6",
        "OFL-1.0",
        "usr/share/fonts/truetype/inconsolata",
        "Inconsolata.otf 1561e616c414a1b82d6e6dfbd18e5726fd65028913ade191e5fa38b6ec375a1a",
    ),
    _package(
        "fonts-hack 3.003-3",
        "MIT and Bitstream Vera",
        "usr/share/fonts/truetype/hack",
        "Hack-Regular.ttf 9f67c8a8cd28498525639437d6fac588c452e8572945c790db7641cc7907a69b",
    ),
    _package(
        "fonts-linuxlibertine 5.3.0-6",
        "OFL-1.1",
        "usr/share/fonts/opentype/linux-libertine",
        "LinLibertine_R.otf 057bbfa1ac76133c8ae596eff0baf1fd662b2b60e830e6d45cfec5d21489eda3",
        "LinLibertine_RI.otf f0632ade6a312b8cc30c348837e9f72a0768a42fe1c1e1509651a0a1d03ba4ee",
        "LinLibertine_RB.otf 56acd1e11373900e5420b9216f591a08050a9017284ac60ea56ddbaa53a58e02",
        "LinBiolinum_R.otf f3cf97ba8cc3a511729bb3ff701d9ff038d94c4c72d2998ee9b40aece8d33f52",
        "LinBiolinum_RI.otf bdade79be87ba1e9f53a9ec7e80f9ec5b55aeb16fb801646782c1620387661c9",
    ),
    _package(
        "fonts-cardo 1.04-3",
        "OFL-1.1",
        "usr/share/fonts/truetype/cardo",
        "Cardo104s.ttf fcb9ac1fff3ebcfc5b5fe91ca3840429a6c5ae3ee0ed28b5ab52e92977de23c4",
        "Cardoi99.ttf aeb8a65378a86d5c61d5460927e3644185bd14b183994fa774b4d199c1c3d360",
    ),
    _package(
        "fonts-comfortaa 3.001-3",
        "OFL-1.1",
        "usr/share/fonts/truetype/comfortaa",
        "Comfortaa-Regular.ttf 7aeecaf4c799f24f22e871a6f546ca89116cf11288c7a8ff42f11401dd5445c6",
    ),
    _package(
        "fonts-freefont-ttf 20120503-10",
        "GPL-3.0-or-later with font exception",
        "usr/share/fonts/truetype/freefont",
        "FreeSans.ttf 0b602f2825b30f9faa772c2ca25b1ce05b6255c9bf02dd8ca088ae51f9f737bb",
        "FreeSansBold.ttf e8b93173d6d8214fb74a068663d3721fdca612bbf3f98973dddb7067b131a0cf",
        "FreeSerif.ttf 12ee050384c99c97a6873708a3aebde3d795de8d8ed069b1a0e3274ab3e5be03",
        "FreeSerifItalic.ttf 3049ffb26ed8140c13e21d612d78e18ff3dc20123b85d1f7353a1564163a5e9b",
        "FreeMono.ttf 1175cc31865a2a1bf011a7711ddab98302343bd679181b360a0e845774c61ecf",
    ),
    _package(
        "fonts-averia-sans-gwf 1.00-2.1",
        "OFL-1.1",
        "usr/share/fonts/truetype/averia-gwf",
        "AveriaSansGWF-Regular.ttf 71dc1de20078007c1fc33d1a0b6880acece0477f22bc79db10426789fde8ac14",
    ),
    _package(
        "fonts-averia-serif-gwf 1.00-2.1",
        "OFL-1.1",
        "usr/share/fonts/truetype/averia-gwf",
        "AveriaSerifGWF-Regular.ttf a4502cf1365172629a9dc419076b0b431d6dd47fa5195668438efaf93ca9c13e",
        "AveriaSerifGWF-Italic.ttf c52933c489b28e6d15507650d5ec3c5bcec21aff459ec76d980cb8b6db4ac424",
    ),
    _package(
        "fonts-mononoki 1.5+dfsg-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/mononoki",
        "mononoki-Regular.ttf 045fad16f67269bae8ca51eb22ab1bdeb2807d6f4fc663d96a900a7b16eff829",
    ),
    _package(
        "fonts-fanwood 1.1-7",
        "MIT",
        "usr/share/fonts/truetype/fanwood",
        "FanwoodText.otf 991dd54027a860b962452d345d5812d5fed849de3f433b8ac8cd47d485065d28",
        "FanwoodText-Italic.otf ff139d6c8535a09b7e6905e45370f9187c0f84ff4a99830788bf523499d0bfc4",
    ),
    _package(
        "fonts-goudybookletter 2010.07.03-6",
        "public domain",
        "usr/share/fonts/opentype/sortsmill",
        "GoudyBookletter1911.otf df8cfeedda8c2ee4183e0b68c6e3202c0c60e6f4a47b06c8f8ba1f340f3015a7",
    ),
    _package(
        "fonts-gfs-didot 1.1-7",
        "OFL-1.1",
        "usr/share/fonts/opentype/didot",
        "GFSDidot.otf 27d80cbfb7446a627f577b3a3bc519e1cec71d53328cd3873368e9c3b54e0fc1",
        "GFSDidotItalic.otf 83f07e3f4e919d0a0dd8d07c224c624c7a383d013d33ade105908d044109dfe0",
    ),
    _package(
        "fonts-jura 5.103-3",
        "OFL-1.1",
        "usr/share/fonts/opentype/jura",
        "Jura-Medium.otf 3c007f474b49e673decac2682a3775202d71024c201d5c278e7089e3bb58dc9d",
    ),
    _package(
        "fonts-league-mono 2.300+ds-1",
        "OFL-1.1",
        "usr/share/fonts/opentype/league-mono",
        "LeagueMono-Regular.otf 705d1789d398fccd78087becbe832e511756337076748bc8da0355eb96b31e2f",
        "LeagueMono-Condensed.otf 1b3898195307954d117e73bb6cb23e062d97418f8dbb7158e248dab21068f936",
    ),
    _package(
        "fonts-prociono 2.3-6",
        "public domain",
        "usr/share/fonts/opentype/fonts-prociono",
        "Prociono.otf 59956dbeaf5b8972374e1563b7b46ec6e907d11630a57d641b943e2a15d9a3e7",
    ),
    _package(
        "fonts-century-catalogue 001.001-8",
        "OFL-1.0",
        "usr/share/fonts/truetype/fonts-century-catalogue",
        "Century-Catalogue.ttf 03470ddfc4aca3f7d069014b008b84c7e05d54a0a306cd8bee8be18919a7651c",
    ),
    _package(
        "fonts-anonymous-pro 1.003-4",
        "OFL-1.1",
        "usr/share/fonts/truetype/anonymous-pro",
        "Anonymous Pro.ttf 6a3502f45cd580a77e61ac5eec75a7ea699c27e295596806b514d3a04d89165b",
    ),
    _package(
        "fonts-sil-andika 6.101-2",
        "OFL-1.1",
        "usr/share/fonts/truetype/andika",
        "Andika-Regular.ttf 202b96b1f174a4a43baefe885b40dacacb81786755efd08ed4b7704e79c45515",
    ),
    _package(
        "fonts-adf-accanthis 0.20190904-2",
        "GPL-2.0-or-later with font exception",
        "usr/share/fonts/truetype/adf",
        "AccanthisADFStd-Regular.otf 1b1dc599e4cd0270a3e3ec83fc8da18a21d9d69243732911e2153b977563ed89",
        "AccanthisADFStd-Italic.otf 8e54a4dff035eda11dfd0ffd4a967ca744af17a852420d3d3fa01c399ff915cb",
    ),
)
#: Families that validate a training.
CHOSEN_BY = (
    _package(
        "fonts-crosextra-caladea 20200211-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/crosextra",
        "Caladea-Regular.ttf f1e899278b7b4491aba5b6a8253c4b04c050cc59b21865be5c37559a775153cd",
        "Caladea-Italic.ttf 4359a8e24f748b6447b1ff6d7a174febe70961d29f8bb8634b56dacd740a3deb",
    ),
    _package(
        "fonts-cantarell 0.303.1-1",
        "OFL-1.1",
        "usr/share/fonts/opentype/cantarell",
        "Cantarell-Regular.otf c4d47d7fbd61863265a39e4944331178337fb0d5d93b45a70233180b6b7df260",
        "Cantarell-Bold.otf 027924588c05e5fb38717dee6e50562bcc2a89c21e713bb2434a7f454d0c4fa4",
    ),
)
#: Families of the held-out lines.
UNSEEN = (
    _package(
        "fonts-cabin 1.5-3",
        "OFL-1.1",
        "usr/share/fonts/opentype/cabin",
        "Cabin-Regular.otf 28b2901516089b2bf9d3c2b3dd86a1c875de7f3997bc4ebf4a651a8150aa49dc",
        "Cabin-Italic.otf b9ec8445102fb15bd1eb5c10d2c0c4049154bcf60fcf2527d0bf06362c9f6e26",
    ),
    _package(
        "fonts-ebgaramond 0.016+git20210310.42d4f9f2-1",
        "OFL-1.1",
        "usr/share/fonts/opentype/ebgaramond",
        "EBGaramond12-Regular.otf 4ee3bdb3a6618e74ac13a7b2c0a5079fa949be94a25736008ddb9f8b2e492963",
        "EBGaramond12-Italic.otf ce6bf781c71358408102ebd62557ae11852f122364666bc034b2e70dcc972790",
    ),
    _package(
        "fonts-vollkorn 4.105-2",
        "OFL-1.1",
        "usr/share/fonts/truetype/vollkorn",
        "Vollkorn-Regular.ttf 33c0e4742dbf693d8f6cda114c02bcf213c0edfb18f0350e483e9354bf9f0c9b",
        "Vollkorn-Bold.ttf e905eac2b4b6286bafe2c403656665ed455c899ba4e2de6a1fdfaa1d1a78eb0c",
    ),
    _package(
        "fonts-jetbrains-mono 2.242+ds-3",
        "Apache-2.0",
        "usr/share/fonts/truetype/jetbrains-mono",
        "JetBrainsMono-Regular.ttf a3014fb90ae8ddfbdfc778de75f95b49a857947fde5335ab3f50b6d56eb517be",
    ),
    _package(
        "fonts-courier-prime 0+git20190115-3",
        "OFL-1.1",
        "usr/share/fonts/opentype/courier-prime",
        "Courier Prime.otf 26bb2ce38aa96cdc76077fbd64017beb3adc8177f84ec1e6015831d038bc0585",
    ),
    _package(
        "fonts-karla 20201218-1",
        "OFL-1.1",
        "usr/share/fonts/truetype/karla",
        "Karla-Regular.otf be5fbf55f7409ad485ddb316c95fc0113f1ebc280924c90809d6988f9018e65a",
        "Karla-Bold.otf 7d871fac4800a919f4487271ed029fbc4d5d5ffde0702a7e1c8627fb5a5ab873",
    ),
    _package(
        "fonts-quattrocento 1.1-2.1",
        "OFL-1.1",
        "usr/share/fonts/opentype/quattrocento",
        "Quattrocento-Regular.otf 7014c022b20092e59b0bd315d57bd3c9c2acdae451da44a28e756f941184ea57",
    ),
    _package(
        "fonts-play 1.002+20150307.1-0.1",
        "OFL-1.1",
        "usr/share/fonts/truetype/play",
        "Play-Regular.ttf a16d8a926b82d5391cb041f928ac8a1597fc713e9bbb65e09f923b4990b58b22",
    ),
    _package(
        "fonts-firacode 6.2-2",
        "OFL-1.1",
        "usr/share/fonts/truetype/firacode",
        "FiraCode-Regular.ttf bb7f3fc4bd68bbbb16b3bf204bc96d9ba7b4a1a6fc221bba49e2b2a03390e76c",
    ),
    _package(
        "fonts-oldstandard 2.2really-4",
        "OFL-1.0",
        "usr/share/fonts/truetype/fonts-oldstandard",
        "OldStandard-Regular.ttf 74916923e4f0c26a88d37de10e3b2f50ab26a8c6c369430f55e0574df8d713a5",
        "OldStandard-Italic.ttf b49b08875736e850758def3405c4f14ef1488da005dfc4c2bc1ebb1873e09e47",
    ),
)


def load(packages: Sequence[Package], folder: Path | None = None) -> tuple[Path, ...]:
    """Find the font files of some packages.

    Args:
        packages: such as :data:`LEARNT`.
        folder: holds the unpacked packages at any depth; None where they are installed.

    Raises:
        MissingDataError: a package is not there.
        AlteredDataError: a file is another version's.
    """
    return tuple(path for package in packages for path in find(package, folder).values())
